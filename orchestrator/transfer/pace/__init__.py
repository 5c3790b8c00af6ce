"""Rates of a line, connections that help, and silence."""
