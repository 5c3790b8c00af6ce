"""Who can send bytes: links, redirects and credentials end here."""
