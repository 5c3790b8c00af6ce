"""Calls that not every system has: each one of POSIX, Linux or macOS by a name of ours, and the way without it."""
