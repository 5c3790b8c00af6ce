"""Uploads: bytes of checked pieces for peers, some at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from orchestrator.core.files import Digest
from orchestrator.serve.delivery.ranges import Excerpt, bounds_of, excerpt
from orchestrator.serve.delivery.streaming import opened_by, send_file
from orchestrator.serve.http.answers import Answering
from orchestrator.serve.http.refusals import busy
from orchestrator.serve.peer.turns import AskedBytes, Turns
from orchestrator.swarm.holdings import Holdings, Readable

_PATIENCE = 1.0
"""Seconds that a request waits for its turn."""
_GRACE, _SLOWEST = 30.0, 64 << 10
"""Seconds that any upload may take, and further ones for so many bytes each: who reads slower gives its turn back."""
_HEADERS = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", "Cache-Control": "no-store"}


class Uploads:
    """Sends ranges of what is held, `most` at once, few of them the same. It waits for no byte to arrive, and has none
    fetched.

    `looking` are threads that look for what is held, `reading` those that read what is not in memory. For the thread of
    the event loop.
    """

    def __init__(self, holdings: Holdings, most: int, *, looking: Executor, reading: Executor) -> None:
        self._holdings = holdings
        self._turns = Turns(most)
        self._looking = looking
        self._reading = reading

    async def give(self, digest: Digest, asked: str, answer: Answering) -> None:
        """Answer a GET or HEAD with this Range header, "" for none: 416 unless all of it is checked. Raises Refused
        (429) when no turn comes."""
        answer.exchange.blob = digest
        if answer.exchange.method == "HEAD":
            async with self._opened(digest, asked) as (_, cut):
                await answer.give(cut.status, {**_HEADERS, **cut.headers}, b"")
            return
        async with self._turn(AskedBytes(digest, *bounds_of(asked))), self._opened(digest, asked) as (one, cut):
            if cut.status == 416:
                await answer.give(416, {**_HEADERS, **cut.headers}, b"")
                return
            await answer.begin(cut.status, {**_HEADERS, **cut.headers})
            try:
                async with asyncio.timeout(_GRACE + (cut.end - cut.start) / _SLOWEST):
                    is_whole = await send_file(one, cut, answer.body, self._reading, answer.file)
            except TimeoutError:
                raise ConnectionAbortedError from None
            if is_whole:
                await answer.end()

    @asynccontextmanager
    async def _turn(self, wanted: AskedBytes) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._turns.of(wanted, _PATIENCE))
            except TimeoutError:
                raise busy("this node sends to as many others as it may", 1) from None
            yield

    @asynccontextmanager
    async def _opened(self, digest: Digest, asked: str) -> AsyncIterator[tuple[_Held, Excerpt]]:
        """The file that has the bytes, and which of them are meant: a status of 416 where they are not all there."""
        start, end = bounds_of(asked)
        async with opened_by(lambda: _Held(self._holdings.read(digest, start, end)), self._looking) as one:
            yield one, one.excerpt(asked, start, end)


@dataclass(frozen=True, slots=True)
class _Held:
    """Bytes that are held, as they are sent."""

    readable: Readable | None

    @property
    def fd(self) -> int | None:
        """See OpenFile."""
        return self.readable.descriptor if self.readable else None

    @property
    def is_unchanged(self) -> bool:
        """See OpenFile."""
        return self.readable is not None and self.readable.is_still_right()

    def excerpt(self, asked: str, start: int, end: int) -> Excerpt:
        """The bytes that a Range header means, of which those from `start` to `end` are held."""
        size = self.readable.size if self.readable else 0
        cut = excerpt({"range": asked}, size, "")
        is_held = self.is_unchanged and start <= cut.start and cut.end <= end
        return cut if is_held else Excerpt(416, 0, 0, size)
