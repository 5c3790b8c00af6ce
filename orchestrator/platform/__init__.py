"""What not every system has: each call of POSIX, Linux or macOS by a name of ours, and what is done without it."""
