"""Runs of `pull` that go on or did not come to their end: what was asked for, and what is left of it."""
