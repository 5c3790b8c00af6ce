"""Pure values and rules: no I/O, no threads, no clocks. Imports nothing of the package but `errors`."""
