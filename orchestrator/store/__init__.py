"""The disk: staging, proofs, the Hugging Face cache, local folders, space."""
