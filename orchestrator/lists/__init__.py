"""Requests of a user: the files wanted of a repo, model lists and lock files. No I/O."""
