"""Values and rules that two or more rooms share: no I/O, no threads, no clocks."""
