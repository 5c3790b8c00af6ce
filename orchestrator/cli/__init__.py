"""Commands, options and views: what a terminal sees, and where errors become exit codes."""
