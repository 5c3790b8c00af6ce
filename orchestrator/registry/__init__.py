"""Models of one's own in an OCI registry: versions, aliases, rights, and a trail of who moved what."""
