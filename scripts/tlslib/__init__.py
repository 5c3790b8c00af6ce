"""What a fast machine gets over TLS: scripts/bench-tls runs `python -m scripts.tlslib`."""
