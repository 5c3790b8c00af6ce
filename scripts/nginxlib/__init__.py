"""What a pull through nginx costs: scripts/bench-nginx runs `python -m scripts.nginxlib`."""
