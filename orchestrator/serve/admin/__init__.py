"""The admin face: the user who started the server commands it, and asks how it is."""
