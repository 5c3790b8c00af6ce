"""Peers: who of them has what, and how their bytes become a source like any other."""
