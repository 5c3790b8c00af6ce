"""Measurements of a registry of models."""
