"""Pictures of the terminal and of the pages of the server, for the documents."""
