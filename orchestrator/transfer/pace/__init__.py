"""Rates of a line, connections that help, and silence. No I/O, no clocks."""
