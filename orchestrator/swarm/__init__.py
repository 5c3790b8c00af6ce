"""Many nodes, one download: who fetches which part from the origin, what may be passed on, and who is asked for it."""
