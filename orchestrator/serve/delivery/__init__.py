"""The bytes of a file to a client: what is here at once, what is on its way as far as that does no harm."""
