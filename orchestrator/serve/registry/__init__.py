"""The registry's faces: its REST calls, their description, and the tokens of the OCI registry below."""
