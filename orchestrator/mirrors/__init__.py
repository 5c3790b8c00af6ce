"""Sources of bytes that need no credential: their links, speed and order."""
