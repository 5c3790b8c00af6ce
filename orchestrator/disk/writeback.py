"""Growing files reach the disk while they grow, so that nobody waits long when they are synced.

aria2 calls fsync whenever a span ends, in the thread that serves all of its connections. The kernel by itself would
leave gigabytes for that: it begins to write after half a minute, or at a tenth of the memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from orchestrator.disk.durability import start_writing
from orchestrator.errors import GlmAriaError
from orchestrator.system.threads import Pool

_FROM = 16 << 20  # a smaller file is soon written


class Writeback:
    """Has files written by one thread, in turn. Methods are called by one thread, and wait for nothing."""

    def __init__(self, write: Callable[[Path, Callable[[], bool]], None] = start_writing) -> None:
        self._write = write
        self._is_closed = threading.Event()
        self._pool = Pool(max_workers=1, thread_name_prefix="write")
        self._running: dict[Path, Future[None]] = {}

    def grown(self, path: Path, size: int) -> None:
        """More has arrived of a file that will have `size` bytes."""
        running = self._running.get(path)
        if size >= _FROM and (running is None or running.done()):
            with suppress(GlmAriaError):  # no thread for it: the kernel writes when it likes
                self._running[path] = self._pool.submit(self._write, path, self._is_closed.is_set)

    def forget(self, path: Path) -> None:
        """The file is of no interest any more."""
        self._running.pop(path, None)

    def close(self) -> None:
        """End soon; the rest is left to the kernel."""
        self._is_closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
