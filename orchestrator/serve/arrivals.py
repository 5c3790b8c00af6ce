"""The blobs that are on their way for clients, in the thread of the event loop: one want a blob, however many ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Job, ResolvedModel
from orchestrator.depot.watch import State, Watch
from orchestrator.serve.library import Library
from orchestrator.serve.streaming import Arrival

GRACE = 60.0
"""Seconds for which a blob is fetched on after its last client left: most of them come back for the rest."""

T = TypeVar("T")


class Arrivals:
    """`want` is the depot's; it is called in a thread of `pool`."""

    def __init__(self, library: Library, want: Callable[[Job], Watch], pool: Executor) -> None:
        self._library = library
        self._want = want
        self._pool = pool
        self._open: dict[Digest, Arrival] = {}
        self._making: dict[Digest, asyncio.Lock] = {}
        self._leaving: dict[Digest, asyncio.TimerHandle] = {}

    def epoch(self, digest: Digest) -> int | None:
        """The epoch of a blob that is on its way."""
        arrival = self._open.get(digest)
        return arrival.watch.epoch if arrival else None

    @asynccontextmanager
    async def of(self, model: ResolvedModel, file: RepoFile) -> AsyncIterator[Arrival]:
        """The arrival of a file, which is wanted at least as long as the context lasts."""
        arrival = await self._join(model, file)
        arrival.readers += 1
        try:
            yield arrival
        finally:
            arrival.readers -= 1
            if arrival.is_over:
                self._drop(file.digest, arrival)
            elif not arrival.readers:
                self.keep(file.digest, GRACE)

    def keep(self, digest: Digest, seconds: float) -> None:
        """Go on for so long without a client."""
        before = self._leaving.pop(digest, None)
        loop = asyncio.get_running_loop()
        due = max(loop.time() + seconds, before.when() if before and not before.cancelled() else 0.0)
        if before:
            before.cancel()
        self._leaving[digest] = loop.call_at(due, self._leave, digest)

    def close(self) -> None:
        """Give all wants back."""
        for handle in self._leaving.values():
            handle.cancel()
        for digest, arrival in tuple(self._open.items()):
            self._drop(digest, arrival)

    async def _join(self, model: ResolvedModel, file: RepoFile) -> Arrival:
        async with self._making.setdefault(file.digest, asyncio.Lock()):
            arrival = self._open.get(file.digest)
            if arrival is not None and arrival.watch.state is State.LOST:
                self._drop(file.digest, arrival)
                arrival = None
            job = await asyncio.get_running_loop().run_in_executor(self._pool, self._library.job, model, file)
            if arrival is None:
                watch = await asyncio.get_running_loop().run_in_executor(self._pool, self._want, job)
                arrival = self._open[file.digest] = Arrival(watch)
            return arrival

    def _leave(self, digest: Digest) -> None:
        self._leaving.pop(digest, None)
        arrival = self._open.get(digest)
        if arrival is not None and not arrival.readers:
            self._drop(digest, arrival)

    def _drop(self, digest: Digest, arrival: Arrival) -> None:
        if self._open.get(digest) is arrival:
            del self._open[digest]
            self._making.pop(digest, None)
            self._library.give_up(digest)
        if handle := self._leaving.pop(digest, None):
            handle.cancel()
        arrival.close()


class Once:
    """Steps that are done once at a time for each key, in a thread, however many wait for the result."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._running: dict[object, asyncio.Future[Any]] = {}

    async def do(self, key: object, step: Callable[[], T], seconds: float) -> T:
        """The result of the step that runs under this key, begun if there is none. Raises TimeoutError after
        `seconds`; the step goes on."""
        running = self._running.get(key)
        if running is None:
            running = asyncio.get_running_loop().run_in_executor(self._pool, step)
            self._running[key] = running
            running.add_done_callback(lambda done: self._ended(key, done))
        return cast(T, await asyncio.wait_for(asyncio.shield(running), seconds))

    def _ended(self, key: object, done: asyncio.Future[Any]) -> None:
        self._running.pop(key, None)
        if not done.cancelled():
            done.exception()  # who waits is told; nobody may be waiting any more
