"""Is HTTP/2 worth it for small files? scripts/bench-h2 runs `python -m scripts.h2lib` in its own environment."""
