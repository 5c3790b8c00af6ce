"""A bell that the trail of a registry rings for those who wait for the next change."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from orchestrator.registry.audit import TrailEvent


class Bell:
    """Wakes those who wait for the next change. `ring` is thread-safe, `waiting` for event loops."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self, _: TrailEvent | None = None) -> None:
        """Wake them all, also for an end of the server."""
        for future in tuple(self._waiting):
            with suppress(RuntimeError):  # the server has ended
                future.get_loop().call_soon_threadsafe(_wake, future)

    def waiting(self) -> asyncio.Future[None]:
        """A future of the next change. It goes when it is done, or cancelled."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
