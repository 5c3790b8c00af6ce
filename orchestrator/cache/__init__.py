"""The Hugging Face cache and our state beside it: parts, claims, placing, publishing, and what lies there."""
