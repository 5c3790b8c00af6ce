"""A loopback Hugging Face Hub with mirrors, ModelScope, network shapes and faults. Start at `hub.LoopbackHub`."""
