"""What a user asks for: a request, the files wanted of a repo, model lists and lock files. No I/O."""
