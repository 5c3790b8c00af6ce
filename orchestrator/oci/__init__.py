"""OCI registries: manifests, logins, and the distribution API."""
