"""Why a pull is slow: what is measured, what follows from it, and the history of pulls."""
