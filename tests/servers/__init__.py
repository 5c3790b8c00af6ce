"""Other servers that tests talk to, each a context manager: nginx, Redis, a name server, a forward proxy."""
