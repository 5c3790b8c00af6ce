"""Several nodes on one cache, through Redis."""
