"""Steps in threads that many clients wait for, each for as long as it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, cast

from orchestrator.serve.http.refusals import busy

PATIENCE = 8.0
"""Seconds until a client hears from us: huggingface_hub gives up after 10 without a byte."""
_WAITING = 64
"""Steps of one client that may wait for their turn."""

T = TypeVar("T")


class Once:
    """Steps that are done once at a time for each key, in a thread, however many wait for the result.

    With `each` so many of one client's are done at once, and its others wait for their turn: so it cannot take all
    threads.
    """

    def __init__(self, pool: Executor, *, each: int | None = None) -> None:
        self._pool = pool
        self._each = each
        self._running: dict[object, asyncio.Future[Any]] = {}
        self._turns: dict[str, _Turns] = {}

    async def do(self, key: object, step: Callable[[], T], seconds: float, *, client: str = "") -> T:
        """The result of the step that runs under this key, begun if there is none, by this client. Raises TimeoutError
        after `seconds`, and the step goes on; Refused when too many of the client's wait already."""
        running = self._running.get(key)
        if running is None:
            running = self._begin(step, client)
            self._running[key] = running
            running.add_done_callback(lambda done: self._ended(key, done))
        return cast(T, await asyncio.wait_for(asyncio.shield(running), seconds))

    def _begin(self, step: Callable[[], T], client: str) -> asyncio.Future[T]:
        if self._each is None or not client:
            return asyncio.get_running_loop().run_in_executor(self._pool, step)
        turns = self._turns.setdefault(client, _Turns(self._each))
        if turns.count >= self._each + _WAITING:
            raise busy(f"{turns.count} questions of {client} wait for an answer", 5)
        turns.count += 1
        return asyncio.ensure_future(self._in_turn(step, client, turns))

    async def _in_turn(self, step: Callable[[], T], client: str, turns: _Turns) -> T:
        try:
            async with turns.free:
                return await asyncio.get_running_loop().run_in_executor(self._pool, step)
        finally:
            turns.count -= 1
            if not turns.count:
                del self._turns[client]

    def _ended(self, key: object, done: asyncio.Future[Any]) -> None:
        self._running.pop(key, None)
        if not done.cancelled():
            done.exception()  # who waits is told; nobody may be waiting any more


class _Turns:
    """The steps of one client: those that run, and those that wait."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self.free = asyncio.Semaphore(most)
