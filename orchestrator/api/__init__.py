"""Functions for programs of others: as huggingface_hub has them, and pull and plan with their reports."""
