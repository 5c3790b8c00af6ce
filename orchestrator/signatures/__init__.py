"""Signatures of models: a key vouches for the digests of files, in the format of OpenSSF model-signing."""
