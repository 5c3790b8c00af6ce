"""Turns of bodies that peers ask for: some are sent at once, and few of them with the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from orchestrator.core.files import Digest

_COPIES, _FRESH = 2, 10.0
"""Bodies with the same bytes that begin within so many seconds. What only one node has all ask it for. If it sent
all copies at the same time, none could be passed on before the last had come: those of one piece for seven nodes take
5 s over 50 Mbit/s, and all have it after 2 s when the first two pass it on. An older body is slow for another reason,
and keeps nobody off."""


@dataclass(frozen=True, slots=True, eq=False)
class AskedBytes:
    """Bytes of a blob that somebody asks for."""

    digest: Digest
    start: int
    end: int

    def has(self, other: AskedBytes) -> bool:
        """True when the other one begins within this one."""
        return self.digest == other.digest and self.start <= other.start < self.end


class Turns:
    """Gives turns to `most` bodies at once, in the order in which they were asked for, but for those that would be a
    further copy of what is being sent. For one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: set[AskedBytes] = set()
        self._fresh: set[AskedBytes] = set()
        self._waiting: dict[asyncio.Future[None], AskedBytes] = {}

    @asynccontextmanager
    async def of(self, wanted: AskedBytes, patience: float) -> AsyncIterator[None]:
        """The turn of a body. Raises TimeoutError when it does not come within so many seconds."""
        if self._may_begin(wanted):
            self._begin(wanted)
        else:
            await self._wait(wanted, patience)
        try:
            yield
        finally:
            self._end(wanted)

    async def _wait(self, wanted: AskedBytes, patience: float) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = wanted
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException:
            if self._waiting.pop(turn, None) is None:  # it came just now
                self._end(wanted)
            raise

    def _may_begin(self, wanted: AskedBytes) -> bool:
        return len(self._taken) < self._most and sum(one.has(wanted) for one in self._fresh) < _COPIES

    def _begin(self, wanted: AskedBytes) -> None:
        self._taken.add(wanted)
        self._fresh.add(wanted)
        asyncio.get_running_loop().call_later(_FRESH, self._age, wanted)

    def _age(self, wanted: AskedBytes) -> None:
        if wanted in self._fresh:
            self._fresh.remove(wanted)
            self._go_on()

    def _end(self, wanted: AskedBytes) -> None:
        self._taken.remove(wanted)
        self._fresh.discard(wanted)
        self._go_on()

    def _go_on(self) -> None:
        for turn, wanted in tuple(self._waiting.items()):
            if not turn.done() and self._may_begin(wanted):  # one that is given up leaves the queue by itself
                del self._waiting[turn]
                self._begin(wanted)
                turn.set_result(None)
