"""One file for each command, or a folder for a large group: its options, one call, its report."""
