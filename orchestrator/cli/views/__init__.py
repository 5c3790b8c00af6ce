"""What a terminal shows: progress, plans, tables, results."""
