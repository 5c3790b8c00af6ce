"""Layouts: where programs of others look for models, by which names, and what they keep beside the files."""
