"""The command line: wiring, output, and the one place where errors become exit codes."""
