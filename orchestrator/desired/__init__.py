"""A desired set of models, followed: from its sources to one rename that all readers see."""
