"""Sources of a desired state: files, git, registries, and who has signed what they say."""
