"""Descriptions of a model in the cache for programs of others: a BitTorrent file, a Metalink."""
