"""Small files ahead of a client that asks for those of a repo one by one, as all clients do.

Each such request costs a round trip to a source, a look at the transfer, and a batch that is placed. A client that has
asked for a few small files of a commit will ask for those that follow in its listing, so these are fetched before it
does, many at once: a few at first, twice as many whenever it comes near the end of them, like the system reads ahead.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.core.files import RepoFile
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import Ref
from orchestrator.errors import GlmAriaError
from orchestrator.serve.delivery.arrivals import Arrivals
from orchestrator.serve.http.recent import Recent
from orchestrator.transfer.spans import SMALL

_CERTAIN = 3
"""Requests after which a client is one that goes on."""
_FIRST = 16
_MOST = 256
"""Files that are fetched ahead at once, and their bytes."""
_MOST_BYTES = 16 << 20
_MOST_MODELS = 64


@dataclass(slots=True)
class _Reading:
    """Progress of those who read the small files of a commit; `end` is the place in `files` up to which they come."""

    files: tuple[RepoFile, ...]
    requests: int = 0
    end: int = 0
    window: int = _FIRST
    running: asyncio.Task[None] | None = None


class Ahead:
    """Fetches ahead. For the thread of the event loop."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._models: Recent[tuple[Ref, str], _Reading] = Recent(_MOST_MODELS)

    def asked(self, model: ResolvedModel, file: RepoFile) -> None:
        """Note that a client, who may have it fetched, gets a file now."""
        if not 0 < file.size < SMALL:
            return
        reading = self._reading(model)
        reading.requests += 1
        if reading.requests < _CERTAIN or (reading.running is not None and not reading.running.done()):
            return
        at = bisect_left(reading.files, file.path, key=lambda known: known.path)
        if at >= reading.end:  # it is new, or has left the order of the listing
            reading.window = _FIRST
        elif at < reading.end - reading.window // 4:  # half of what came last is left
            return
        wanted = self._next(reading, max(at + 1, reading.end))
        if wanted:
            reading.running = asyncio.ensure_future(self._fetch(model, wanted))

    def close(self) -> None:
        """Fetch nothing more."""
        for _, reading in self._models.items():
            if reading.running is not None:
                reading.running.cancel()

    def _reading(self, model: ResolvedModel) -> _Reading:
        key = model.ref, model.commit
        reading = self._models.get(key)
        if reading is None:
            reading = _Reading(tuple(known for known in model.tree.files if 0 < known.size < SMALL))
            self._models.keep(key, reading)
        return reading

    def _next(self, reading: _Reading, start: int) -> tuple[RepoFile, ...]:
        """The files of the next window, which grows with each."""
        end, size = start, 0
        while end < len(reading.files) and end < start + reading.window and size < _MOST_BYTES:
            size += reading.files[end].size
            end += 1
        reading.end, reading.window = end, min(2 * reading.window, _MOST)
        return reading.files[start:end]

    async def _fetch(self, model: ResolvedModel, files: tuple[RepoFile, ...]) -> None:
        with suppress(GlmAriaError):  # who asks for one of them is told
            await self._arrivals.bring(model, files)
