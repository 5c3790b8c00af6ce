"""glm-aria: resolve a model, let aria2 move its bytes, prove them, place them in the Hugging Face cache."""

try:
    from orchestrator._version import __version__
except ImportError:  # a clone that was never installed: the build writes that file
    __version__ = "0.0.0+unknown"

__all__ = ["__version__"]
