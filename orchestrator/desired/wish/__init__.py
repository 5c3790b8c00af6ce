"""The wish: addresses, documents, labels, and one wish of them all. No I/O."""
