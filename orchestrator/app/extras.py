"""Libraries that not everybody has, and what to install."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from orchestrator.errors import ConfigError


@contextlib.contextmanager
def server_libraries(extra: str = "serve") -> Iterator[None]:
    """Imports of libraries that not everybody has. Raises ConfigError for one that is not installed."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"this needs starlette, uvicorn and prometheus-client, and {error.name} is not installed",
            hint=f"pip install 'glm-aria[{extra}]'",
        ) from None
