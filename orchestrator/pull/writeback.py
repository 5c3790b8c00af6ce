"""Parts reach the disk while they arrive, so that nobody waits long when they are synced.

aria2 calls fsync whenever a span ends, in the thread that serves all of its connections. The kernel by itself would
leave gigabytes for that: it begins to write after half a minute, or at a tenth of the memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from orchestrator.core.files import Digest
from orchestrator.disk.durability import start_writing
from orchestrator.errors import GlmAriaError
from orchestrator.system.threads import Pool
from orchestrator.transfer.interface import Moved

_FROM = 16 << 20  # a smaller file is soon written


class Writeback:
    """Has parts written by one thread, in turn. Methods are called by one thread, and wait for nothing."""

    def __init__(self, write: Callable[[Path, Callable[[], bool]], None] = start_writing) -> None:
        self._write = write
        self._is_closed = threading.Event()
        self._pool = Pool(max_workers=1, thread_name_prefix="write")
        self._running: dict[Digest, Future[None]] = {}

    def moved(self, outcome: Moved, part: Path) -> None:
        """More of a part has arrived."""
        job = outcome.job
        running = self._running.get(job.digest)
        if job.size >= _FROM and (running is None or running.done()):
            with suppress(GlmAriaError):  # no thread for it: the kernel writes when it likes
                self._running[job.digest] = self._pool.submit(self._write, part, self._is_closed.is_set)

    def close(self) -> None:
        """End soon; the rest is left to the kernel."""
        self._is_closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
