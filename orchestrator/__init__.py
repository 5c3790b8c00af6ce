"""glm-aria: resolve a model, let aria2 move its bytes, prove them, place them in the Hugging Face cache."""

__version__ = "0.1.0"
