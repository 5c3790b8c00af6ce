"""Replays of generated traces, with prefetch and without."""
