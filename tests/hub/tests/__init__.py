"""Tests of the loopback Hub: the real clients against it, and its faults and shapes on the wire."""
