"""HTTP for the rooms that speak it: bounded, retried, typed errors; the one place that knows who may get the token."""
