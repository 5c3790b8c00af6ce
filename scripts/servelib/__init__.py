"""What clients get through `glm-aria serve`: scripts/bench-serve runs `python -m scripts.servelib`."""
