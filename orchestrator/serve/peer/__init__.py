"""The face for the other nodes of a fleet: what this one has, and bytes of that."""
