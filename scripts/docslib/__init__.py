"""Parts of scripts/check-docs: what is generated from the code, and what holds the rest against it."""
