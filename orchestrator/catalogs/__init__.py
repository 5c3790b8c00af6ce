"""Listings of a repo at a commit: Hugging Face, ModelScope, and git's own objects."""
