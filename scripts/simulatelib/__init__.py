"""Fleets of any size around the real planner: `python -m scripts.simulatelib`, which scripts/simulate runs."""
