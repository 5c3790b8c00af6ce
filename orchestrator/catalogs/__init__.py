"""What a repo holds: metadata from Hugging Face and ModelScope sites over requests."""
