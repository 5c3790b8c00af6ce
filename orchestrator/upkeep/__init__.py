"""The cache at rest: verify, repair, collect, remove, list."""
