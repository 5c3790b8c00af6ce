"""Commands about runs: those that go on, those that were stopped, those of the past."""
