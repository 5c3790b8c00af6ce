"""Sharing: what a node has of the blobs that it fetches, which of it is checked, and how peers are given it."""
