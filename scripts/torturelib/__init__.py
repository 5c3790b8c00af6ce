"""`scripts/torture`: runs the long forms, and makes one table of what came of them."""
