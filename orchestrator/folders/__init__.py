"""Plain folders outside the cache: a local directory, a folder of a program, an import."""
