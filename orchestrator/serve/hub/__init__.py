"""The face of Hugging Face's Hub: its grammar, its documents, and who answers in its words."""
