"""Plain folders outside the cache: a local directory, a project folder, an import."""
