"""The values of the templates for other programs."""
