"""Changes as they come: server-sent events (HTML, section 9.2), one for each change, with its number as their id.

The first event, `ready`, has the number behind which the changes follow: the one that the client named, or the last.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from itertools import islice

from orchestrator.core.refs import RepoId
from orchestrator.documents import encode
from orchestrator.registry.core import Registry
from orchestrator.registry.document import TrailEntry
from orchestrator.rights import Subject
from orchestrator.serve.http.answers import Answering
from orchestrator.serve.http.refusals import busy
from orchestrator.serve.registry.bell import Bell

MOST, EACH = 512, 64
"""Streams at once, and those of one client."""
LIFE = 60.0
"""Seconds of a stream. Who listens on shows its token again: it may have been revoked."""
KEEP = 4.0
"""Seconds of silence after which a stream says that it lives."""
_LOOK = 1.0
"""Seconds between two looks at a trail that another process may write to."""
_MOST_READ = 1000
# A proxy in between passes each event on at once.
_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStreams:
    """The streams of a server. `asking` are threads that read the trail; `is_over` tells that the server ends."""

    def __init__(self, registry: Registry, bell: Bell, asking: Executor, is_over: Callable[[], bool]) -> None:
        self._registry = registry
        self._bell = bell
        self._asking = asking
        self._is_over = is_over
        self._open: Counter[str] = Counter()

    async def send(self, who: Subject, model: RepoId | None, after: int | None, client: str, answer: Answering) -> None:
        """Send the changes of a model, or of all that somebody may read, behind the event of that number; without one,
        those that come. Raises Refused, and before the first event what `Registry` does."""
        if self._open.total() >= MOST or self._open[client] >= EACH:
            raise busy("many follow this registry already", 10)
        self._open[client] += 1
        try:
            await self._send(who, model, after, answer)
        finally:
            self._open[client] -= 1
            self._open += Counter()  # without those who left

    async def _send(self, who: Subject, model: RepoId | None, after: int | None, answer: Answering) -> None:
        run = partial(asyncio.get_running_loop().run_in_executor, self._asking)
        newest = await run(self._registry.newest_event)
        # A number that is not given out yet is of a trail that is no more.
        at = newest if after is None else min(after, newest)
        await answer.begin(200, _HEADERS)
        await answer.body(_event(at, "{}", "ready"))
        until, silent_since = time.monotonic() + LIFE, time.monotonic()
        while answer.exchange.method == "GET" and not self._is_over() and time.monotonic() < until:
            change = self._bell.waiting()
            try:
                # Read after the bell is hung up: what comes meanwhile is heard.
                news = await run(self._read, who, model, at)
                for entry in news:
                    await answer.body(_event(entry.number, encode(entry)))
                    at, silent_since = entry.number, time.monotonic()
                if time.monotonic() - silent_since >= KEEP:
                    await answer.body(b":\n\n")
                    silent_since = time.monotonic()
                if not news:
                    await asyncio.wait([change], timeout=_LOOK)
            finally:
                change.cancel()
        await answer.end()

    def _read(self, who: Subject, model: RepoId | None, after: int) -> tuple[TrailEntry, ...]:
        return tuple(map(TrailEntry.of, islice(self._registry.events(who, after, model), _MOST_READ)))


def _event(number: int, data: str, name: str = "") -> bytes:
    named = f"event: {name}\n" if name else ""
    return f"id: {number}\n{named}data: {data.strip()}\n\n".encode()
