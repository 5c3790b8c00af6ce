"""Time and memory against the number of items: `python -m scripts.scalelib`, which scripts/bench-scale runs."""
