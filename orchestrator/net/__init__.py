"""HTTP for the rooms that speak it: bounded, retried, typed errors; who may get the token; and lines to a Redis."""
