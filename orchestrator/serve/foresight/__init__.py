"""Foresight: what clients wanted is noted, and what they will want is fetched before they ask."""
