"""The face of ModelScope: its grammar, its documents, and who answers in its words."""
