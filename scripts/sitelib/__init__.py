"""The documents as a site of static pages, in English and in Chinese."""
