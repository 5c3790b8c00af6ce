"""An event loop in a thread of its own, for what speaks to many at once beside threads that wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from orchestrator.system import threads

T = TypeVar("T")


class LoopThread:
    """A running event loop. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin. Raises TemporaryError where the system grants no thread."""
        threads.start(self._thread)
        self._ready.wait()

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Have the loop do something; the future may be cancelled."""
        if self._loop is None:
            raise RuntimeError(f"{self._name} has not begun")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self, seconds: float = 5.0) -> None:
        """End: whatever the loop still does is cancelled."""
        if self._loop is not None and self._end is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(seconds)

    def _run(self) -> None:
        asyncio.run(self._wait())

    async def _wait(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._end.wait()


async def until_one_ends(*steps: Coroutine[Any, Any, object]) -> None:
    """Do all of these beside each other until one of them ends, and end the others. Raises what that one does."""
    tasks = [asyncio.create_task(step) for step in steps]
    try:
        for one in (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]:
            one.result()
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.wait(tasks)


@contextlib.contextmanager
def running_loop(name: str) -> Iterator[LoopThread]:
    """An event loop as long as the context lasts."""
    loop = LoopThread(name)
    loop.start()
    try:
        yield loop
    finally:
        loop.close()
