"""Libraries that not everybody has, and what to install."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from orchestrator.errors import ConfigError
from orchestrator.platform.lacking import need_folders


@contextlib.contextmanager
def server_libraries(extra: str = "serve") -> Iterator[None]:
    """Imports of libraries of servers. Raises ConfigError for one that is not installed, or UnsupportedError."""
    need_folders()
    with _needed("libraries of servers", extra):
        yield


@contextlib.contextmanager
def rpc_libraries(extra: str) -> Iterator[None]:
    """Imports of gRPC, too. What it has to say on stderr, we say in our words."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with server_libraries(extra):
        yield


@contextlib.contextmanager
def signing_library() -> Iterator[None]:
    """Imports of what signs. Raises ConfigError where it is not installed."""
    with _needed("cryptography", "sign"):
        yield


@contextlib.contextmanager
def number_library() -> Iterator[None]:
    """Imports of what computes forecasts. Raises ConfigError where numpy is not installed."""
    with _needed("numpy", "predict"):
        yield


@contextlib.contextmanager
def _needed(names: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"this needs {names}, and {error.name} is not installed",
            hint=f"pip install 'glm-aria[{extra}]'",
        ) from None
