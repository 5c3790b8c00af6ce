"""The benchmark over real lines: `python -m scripts.lineslib`, which scripts/bench-lines runs."""
