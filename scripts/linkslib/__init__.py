"""Models in folders of other tools: scripts/bench-links runs `python -m scripts.linkslib`."""
