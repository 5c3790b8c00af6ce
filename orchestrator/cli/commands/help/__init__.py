"""Commands that help at the terminal: completion, and the pages of errors."""
