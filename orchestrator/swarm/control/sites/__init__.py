"""Sites: fleets that plan for themselves, and tell each other what their nodes have."""
