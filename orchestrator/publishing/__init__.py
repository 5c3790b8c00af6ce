"""A folder becomes a model in a registry: its files, a ModelPack manifest of them, and uploads that go on."""
