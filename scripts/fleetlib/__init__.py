"""Many nodes that need one model: `python -m scripts.fleetlib`, which scripts/bench-fleet runs."""
