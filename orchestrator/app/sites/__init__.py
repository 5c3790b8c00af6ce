"""Questions to the sites of the settings that are not about the files of one model."""
