"""Commands of the user of a server, and the state that it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

from orchestrator.cache.cache import Cache
from orchestrator.core.refs import Target, parse_target
from orchestrator.disk import space
from orchestrator.errors import CannotCreateError, DiskIOError, NotFoundError, TemporaryError, UnsafeError, UsageError
from orchestrator.serve.admin.face import Asked, Call
from orchestrator.serve.delivery.arrivals import Arrivals
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.stock.room import Room

T = TypeVar("T")


class Commands:
    """The calls of the admin face. For the thread of the event loop; `making` are threads that change the cache."""

    def __init__(self, cache: Cache, arrivals: Arrivals, room: Room, making: Executor) -> None:
        self._cache = cache
        self._arrivals = arrivals
        self._room = room
        self._making = making

    @property
    def gets(self) -> Mapping[str, Call]:
        """Calls that change nothing."""
        return {"state": self.state}

    @property
    def posts(self) -> Mapping[str, Call]:
        """Calls that change something. Each takes a `ref`."""
        return {"evict": self.evict, "pin": self.pin, "unpin": self.unpin}

    async def state(self, _asked: Asked) -> Mapping[str, Any]:
        """The cache and its disk, and the blobs that are on their way, each with the bytes that have arrived."""
        room = self._room
        return {
            "cache_dir": str(self._cache.layout.cache_dir),
            "disk": {
                "free": await self._do(lambda: space.space(self._cache.layout.cache_dir).free),
                "stays_free": space.RESERVE,
                "reserved": room.reserved,
                "max_size": room.most,
            },
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

    async def evict(self, asked: Asked) -> Mapping[str, Any]:
        """Remove a repo, or a revision of it, from the cache. 409 when it is pinned or in use."""
        target = _target(asked)
        return {"target": str(target), "bytes_freed": await self._do(lambda: self._room.evict(target))}

    async def pin(self, asked: Asked) -> Mapping[str, Any]:
        """Pin a repo or a revision: nothing removes it."""
        target = _target(asked)
        await self._do(lambda: self._cache.pins.add((target,)))
        return {"target": str(target)}

    async def unpin(self, asked: Asked) -> Mapping[str, Any]:
        """Let go of a pin."""
        target = _target(asked)
        await self._do(lambda: self._cache.pins.remove((target,)))
        return {"target": str(target)}

    async def _do(self, step: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._making, step)
        except (UnsafeError, TemporaryError) as error:
            raise Refused(409, error.message) from None
        except NotFoundError as error:
            raise Refused(404, error.message) from None
        except (CannotCreateError, DiskIOError) as error:
            raise Refused(500, error.message) from None


def _target(asked: Asked) -> Target:
    ref = asked.get("ref")
    if not isinstance(ref, str):
        raise Refused(400, "`ref` is missing: the name of a repo, with @revision for one of its revisions")
    try:
        return parse_target(ref)
    except UsageError as error:
        raise Refused(400, error.message) from None
