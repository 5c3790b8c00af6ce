"""Output on a terminal: progress, plans, tables, results."""
