"""One use case each, written on the ports of the rooms below."""
