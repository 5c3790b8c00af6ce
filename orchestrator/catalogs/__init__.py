"""What a repo holds at a commit: Hugging Face, ModelScope, and the objects of git itself."""
