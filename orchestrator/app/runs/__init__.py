"""What goes on around a pull: the note of the run, its entry in the history, and who is told of its end."""
