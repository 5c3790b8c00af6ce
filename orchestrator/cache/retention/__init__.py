"""Retention: what must stay in the cache, and what may go when room is needed."""
