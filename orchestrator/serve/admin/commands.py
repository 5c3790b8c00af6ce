"""Commands of the user of a server, and the state that it tells."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

from orchestrator.cache.cache import Cache
from orchestrator.core.refs import Ref, parse_ref, parse_target
from orchestrator.disk import space
from orchestrator.errors import (
    CannotCreateError,
    DiskIOError,
    GlmAriaError,
    NotFoundError,
    TemporaryError,
    UnsafeError,
    UsageError,
)
from orchestrator.lists.quantizations import split_quantization
from orchestrator.lists.request import Item
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.admin.face import Asked, Call
from orchestrator.serve.delivery.arrivals import Arrivals
from orchestrator.serve.delivery.prefetch import Prefetch, Prefetching
from orchestrator.serve.http.refusals import Refused, as_text, refusal_of
from orchestrator.serve.stock.room import Room

_STEP = 0.5
"""Seconds between two lines about a prefetch."""
_MOST_GLOBS = 1000

T = TypeVar("T")


class Commands:
    """The calls of the admin face. For the thread of the event loop; `making` are threads that change the cache."""

    def __init__(
        self, cache: Cache, arrivals: Arrivals, room: Room, prefetching: Prefetching, making: Executor
    ) -> None:
        self._cache = cache
        self._arrivals = arrivals
        self._room = room
        self._prefetching = prefetching
        self._making = making
        self._detached: set[asyncio.Task[None]] = set()

    @property
    def gets(self) -> Mapping[str, Call]:
        """Calls that change nothing."""
        return {"state": self.state}

    @property
    def posts(self) -> Mapping[str, Call]:
        """Calls that change something. Each takes a `ref`."""
        return {"prefetch": self.prefetch, "evict": self.evict, "pin": self.pin, "unpin": self.unpin}

    async def state(self, _asked: Asked, _caller: Caller) -> Mapping[str, Any]:
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
            "prefetching": [_told_of(prefetch) for prefetch in self._prefetching.running],
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

    async def prefetch(self, asked: Asked, caller: Caller) -> Mapping[str, Any] | AsyncIterator[Mapping[str, Any]]:
        """Fetch what is missing of a model: lines that tell how far it is, until it is done or the client leaves. With
        `detach` the answer comes at once, and it goes on by itself."""
        try:
            prefetch = await self._prefetching.plan(_wanted(asked), caller)
        except NotFoundError as error:
            # Who commands the server is its operator, for whom the hint is: it lists what there is.
            more = f"; {error.hint}" if error.hint else ""
            raise Refused(404, f"{error.message}{more}") from None
        if not asked.get("detach"):
            return self._followed(prefetch)
        task = asyncio.ensure_future(self._alone(prefetch))
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)
        return _told_of(prefetch)

    async def _alone(self, prefetch: Prefetch) -> None:
        with contextlib.suppress(GlmAriaError):
            await self._prefetching.run(prefetch)

    async def _followed(self, prefetch: Prefetch) -> AsyncIterator[Mapping[str, Any]]:
        running = asyncio.ensure_future(self._prefetching.run(prefetch))
        try:
            while not running.done():
                yield _told_of(prefetch)
                await asyncio.wait((running,), timeout=_STEP)
            error = running.exception()
            if isinstance(error, GlmAriaError):
                refused = refusal_of(error)
                yield {"status": refused.status, "error": as_text(refused)}
                return
            if error is not None:
                raise error
            yield {**_told_of(prefetch), "lost": [_lost(path, why) for path, why in prefetch.lost]}
        finally:
            running.cancel()

    async def evict(self, asked: Asked, _caller: Caller) -> Mapping[str, Any]:
        """Remove a repo, or a revision of it, from the cache. 409 when it is pinned or in use."""
        target = _named(asked, parse_target)
        return {"target": str(target), "bytes_freed": await self._do(lambda: self._room.evict(target))}

    async def pin(self, asked: Asked, _caller: Caller) -> Mapping[str, Any]:
        """Pin a repo or a revision: nothing removes it."""
        target = _named(asked, parse_target)
        await self._do(lambda: self._cache.pins.add((target,)))
        return {"target": str(target)}

    async def unpin(self, asked: Asked, _caller: Caller) -> Mapping[str, Any]:
        """Let go of a pin."""
        target = _named(asked, parse_target)
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


def _told_of(prefetch: Prefetch) -> Mapping[str, Any]:
    """A prefetch as it is now."""
    return {
        "ref": str(prefetch.model.ref),
        "commit": prefetch.model.commit,
        "files": len(prefetch.files),
        "files_done": prefetch.files_done,
        "bytes_total": prefetch.size,
        "bytes_done": prefetch.done,
        "bytes_fetched": prefetch.arrived,
    }


def _lost(path: str, error: GlmAriaError) -> Mapping[str, Any]:
    return {"file": path, "code": error.code, "message": error.message, "hint": error.hint}


def _wanted(asked: Asked) -> Item:
    """The model that is to be fetched, and which files of it: the REF may name a quantisation."""
    (ref, quantization) = _named(asked, _ref)
    variant = asked.get("variant", "")
    if not isinstance(variant, str):
        raise Refused(400, "`variant` is no text")
    include, exclude = _globs(asked, "include"), _globs(asked, "exclude")
    return Item(ref, include, exclude, quantization=quantization, variant=variant)


def _ref(text: str) -> tuple[Ref, str]:
    name, quantization = split_quantization(text)
    return parse_ref(name), quantization


def _globs(asked: Asked, name: str) -> tuple[str, ...]:
    given = asked.get(name, [])
    if not isinstance(given, list) or len(given) > _MOST_GLOBS or not all(isinstance(one, str) for one in given):
        raise Refused(400, f"`{name}` is no list of at most {_MOST_GLOBS} patterns")
    return tuple(given)


def _named(asked: Asked, parse: Callable[[str], T]) -> T:
    """The repo, or a revision of it, that a call is about."""
    name = asked.get("ref")
    if not isinstance(name, str):
        raise Refused(400, "`ref` is missing: the name of a repo, with @revision for one of its revisions")
    try:
        return parse(name)
    except UsageError as error:
        raise Refused(400, error.message) from None
