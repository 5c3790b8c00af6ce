"""Verification of bytes: hashing, piece hashes, and the only maker of `VerifiedFile`."""
