"""The engine for many askers: one job a blob, its sources, its proof, and what is done when its bytes were wrong."""
