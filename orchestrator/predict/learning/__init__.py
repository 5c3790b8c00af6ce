"""Learning: what came in the past becomes forecasts, each with what it is worth; numpy is imported here alone."""
