"""The board: what schedulers of a fleet agree on, in the memory of one of them or in a Redis."""
