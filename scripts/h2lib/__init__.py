"""Is HTTP/2 worth it for small files? `python -m scripts.h2lib`, which scripts/bench-h2 runs in an environment of its own."""
