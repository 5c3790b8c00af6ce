"""The command line: commands, what they print, and the one place where errors become exit codes."""
