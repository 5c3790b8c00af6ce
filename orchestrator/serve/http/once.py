"""Steps in threads that many clients wait for, each for as long as it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack
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
        self._turns = ClientTurns(pool, each=each)
        self._running: dict[object, asyncio.Future[Any]] = {}

    async def do(self, key: object, step: Callable[[], T], seconds: float, *, client: str = "") -> T:
        """The result of the step that runs under this key, begun if there is none, by this client. Raises TimeoutError
        after `seconds`, and the step goes on; Refused when too many of the client's wait already."""
        running = self._running.get(key)
        if running is None:
            running = self._turns.begin(step, client)
            self._running[key] = running
            running.add_done_callback(lambda done: self._ended(key, done))
        return cast(T, await asyncio.wait_for(asyncio.shield(running), seconds))

    def _ended(self, key: object, done: asyncio.Future[Any]) -> None:
        self._running.pop(key, None)
        _hear(done)


class ClientTurns:
    """Steps in the threads of a pool, of which each client has `each` at once. Of its others, and of those that are
    `alone` at something, up to `waiting` of a client wait for their turn, without a thread."""

    def __init__(self, pool: Executor, *, each: int | None = None, waiting: int = _WAITING) -> None:
        self._pool = pool
        self._each = each
        self._waiting = waiting
        self._turns: dict[Hashable, _Turns] = {}

    async def do(self, step: Callable[[], T], client: str, *, alone: Hashable = None) -> T:
        """The result of a step, which goes on and counts also when nobody waits for it any more. `alone` is what it
        must have to itself. Raises Refused when too many of the client's wait already."""
        running = self.begin(step, client, alone=alone)
        running.add_done_callback(_hear)
        return await asyncio.shield(running)

    def begin(self, step: Callable[[], T], client: str, *, alone: Hashable = None) -> asyncio.Future[T]:
        """The same, for who waits for it in another way."""
        keys: list[tuple[Hashable, int]] = []
        if client and self._each is not None:
            known = self._turns.get(("client", client))
            if known is not None and known.count >= self._each + self._waiting:
                raise busy(f"{known.count} questions of {client} wait for an answer", 5)
            keys.append((("client", client), self._each))
        if alone is not None:
            keys.append((("alone", alone), 1))
        if not keys:
            return asyncio.get_running_loop().run_in_executor(self._pool, step)
        for key, most in keys:
            self._turns.setdefault(key, _Turns(most)).count += 1
        return asyncio.ensure_future(self._in_turn(step, [key for key, _ in keys]))

    async def _in_turn(self, step: Callable[[], T], keys: Sequence[Hashable]) -> T:
        try:
            async with AsyncExitStack() as held:
                for key in keys:
                    await held.enter_async_context(self._turns[key].free)
                return await asyncio.get_running_loop().run_in_executor(self._pool, step)
        finally:
            for key in keys:
                self._turns[key].count -= 1
                if not self._turns[key].count:
                    del self._turns[key]


class _Turns:
    """The steps of one client, or at one thing: those that run, and those that wait."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self.free = asyncio.Semaphore(most)


def _hear(done: asyncio.Future[Any]) -> None:
    """Hear of an error: who waits is told; nobody may be waiting any more."""
    if not done.cancelled():
        done.exception()
