"""The benchmark: `python -m scripts.benchlib`, which scripts/bench runs in an environment of its own."""
