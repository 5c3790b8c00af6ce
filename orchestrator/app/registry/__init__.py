"""The registry composed from settings: the facade of a server, and the calls to one."""
