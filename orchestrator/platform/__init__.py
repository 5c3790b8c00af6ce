"""What not every system has: each call of POSIX, Linux or macOS by a name of ours, and the way without it."""
