"""The scheduler: what it knows of the fleet by its nodes and by the board, and what it tells its nodes."""
