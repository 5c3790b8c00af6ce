"""The operating system, and what other users of it can do to us. Knows no model."""
