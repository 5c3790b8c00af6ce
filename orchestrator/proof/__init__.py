"""Where bytes become believed: hashing, piece hashes, and the only maker of `VerifiedFile`."""
