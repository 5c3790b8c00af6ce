"""A ref becomes a commit and its listing, and by whose word."""
