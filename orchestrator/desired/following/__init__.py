"""The follower of a wish: when it looks, what it does next, what it remembers, and what it tells."""
