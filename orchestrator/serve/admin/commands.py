"""Commands of the user of a server, and the state that it tells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.serve.admin.face import Asked, Call
from orchestrator.serve.delivery.arrivals import Arrivals


class Commands:
    """The calls of the admin face. For the thread of the event loop."""

    def __init__(self, cache_dir: Path, arrivals: Arrivals) -> None:
        self._cache_dir = cache_dir
        self._arrivals = arrivals

    @property
    def gets(self) -> Mapping[str, Call]:
        """Calls that change nothing."""
        return {"state": self.state}

    @property
    def posts(self) -> Mapping[str, Call]:
        """Calls that change something."""
        return {}

    async def state(self, _asked: Asked) -> Mapping[str, Any]:
        """The cache, and the blobs that are on their way, each with the bytes that have arrived."""
        return {
            "cache_dir": str(self._cache_dir),
            "arriving": [
                {
                    "digest": str(watch.job.digest),
                    "name": watch.job.name,
                    "size": watch.job.size,
                    "arrived": watch.arrived.total,
                    "state": watch.state.value,
                    "clients": clients,
                }
                for watch, clients in self._arrivals.under_way()
            ],
        }
