"""A fleet composed from settings: its control, and the node of this process."""
