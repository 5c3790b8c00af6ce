"""Forecasts of the demand of this site: from its logs to a file, and to who asks."""
