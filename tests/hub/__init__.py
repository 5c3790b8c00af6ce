"""A loopback Hugging Face Hub with mirrors, ModelScope, network shapes and faults. See README.md."""
