"""A list of models kept true."""
