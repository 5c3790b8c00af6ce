"""Outboxes: what a scheduler has for one node that is slower to read than it tells."""

from __future__ import annotations

import asyncio
from collections import deque

from orchestrator.swarm.control.messages import FromScheduler, PeersToAsk, Shunned

_MOST = 1024
_LATEST = (PeersToAsk, Shunned)
"""Messages of which only the newest says anything."""


class Outbox:
    """Messages for a node in their order. For one event loop; `put` never waits. `is_full` when the node reads so
    slowly that it had better begin again."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._waiting: deque[FromScheduler] = deque()
        self._changed = asyncio.Event()
        self.is_full = False
        self.is_closed = False

    def put(self, told: FromScheduler) -> None:
        """Add a message; one of which only the newest counts replaces that of before."""
        if isinstance(told, _LATEST):
            self._waiting = deque(one for one in self._waiting if type(one) is not type(told))
        if len(self._waiting) >= self._most:
            self.is_full = True
        else:
            self._waiting.append(told)
        self._changed.set()

    def close(self) -> None:
        """End it: nobody reads it any more."""
        self.is_closed = True
        self._changed.set()

    async def take(self, seconds: float) -> tuple[FromScheduler, ...]:
        """All messages, at once where there are some, else as soon as there are; none after `seconds`."""
        if not (self._waiting or self.is_full or self.is_closed):
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return ()
        found = tuple(self._waiting)
        self._waiting.clear()
        return found
