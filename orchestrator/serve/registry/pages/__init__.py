"""The registry's pages for people: models, versions, aliases, what differs, and who did what."""
