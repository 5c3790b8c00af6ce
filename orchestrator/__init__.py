"""glm-aria: resolve a model, let aria2 move its bytes, prove them, place them in the Hugging Face cache.

From Python: `from orchestrator import snapshot_download, hf_hub_download, pull, plan` (docs/guides/python.md). Each is
loaded when it is asked for; `__init__.pyi` has their types.
"""

try:
    from orchestrator._version import __version__
except ImportError:  # a clone that was never installed: the build writes that file
    __version__ = "0.0.0+unknown"

_PLACES = {
    "Stop": "system.signals",
    "hf_hub_download": "api.hub",
    "plan": "api.models",
    "pull": "api.models",
    "snapshot_download": "api.hub",
}

__all__ = ["__version__", *_PLACES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
