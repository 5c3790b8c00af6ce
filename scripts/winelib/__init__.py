"""Trials of glm-aria on Windows, as Wine has it."""
