"""Where bytes can be had without a credential, how fast, and in which order."""
