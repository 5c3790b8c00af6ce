"""The node that a process is for its peers: the key of its fleet, its name, its server for them, its company."""
