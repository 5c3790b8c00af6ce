"""Services around a pull: the note of the run, its entry in the history, and notices of its end."""
