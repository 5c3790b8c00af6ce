"""Composition without click: settings become rooms, and each capability is one call."""
