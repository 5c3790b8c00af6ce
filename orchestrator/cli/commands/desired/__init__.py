"""Desired state: options to one call of the services, and how a set is, as a table or JSON."""
