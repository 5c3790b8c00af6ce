"""A desired state composed from settings: its sources, its sets, and what it has done to the cache."""
