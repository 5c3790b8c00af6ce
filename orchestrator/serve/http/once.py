"""Steps in threads that many clients wait for, each for as long as it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, cast

PATIENCE = 8.0
"""Seconds until a client hears from us: huggingface_hub gives up after 10 without a byte."""

T = TypeVar("T")


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
