"""Python fetches what aria2 shall not, or cannot: small files, and files from a source that sends no ranges.

aria2 follows redirects without asking anybody, syncs every file that it closes, and cannot take a range whose answer
does not tell its length. Here each redirect is judged, each byte counted against the listing, and the token goes where
it may. A courier is a thread that writes one body to a part; the transfer's own thread looks on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path

from orchestrator.core.plan import Job
from orchestrator.core.sources import Body
from orchestrator.system.failures import on_disk
from orchestrator.system.threads import KeyedPools
from orchestrator.transfer.interface import Locator

MOST_THREADS = 128


@dataclass(slots=True, eq=False)
class Errand:
    """One body on its way. Its courier writes the fields, and others read them.

    `position` is the offset in the file up to which bytes were written; `came` counts all that came, also what was here
    already and is passed over. `latency` is how long the answer took, None before it began.
    """

    position: int
    came: int = 0
    latency: float | None = None
    is_stopped: bool = False
    future: Future[None] = field(default_factory=Future)
    _body: Body | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, body: Body, seconds: float) -> None:
        """The answer is there."""
        self._body, self.latency = body, seconds

    def keep(self, out: RawIOBase, data: memoryview, position: int) -> bool:
        """Write what came, up to `position` in the file; False when it is not wanted any more. Raises OSError."""
        with self._lock:
            if self.is_stopped:
                return False
            while data:
                data = data[out.write(data) or 0 :]
            self.position = max(self.position, position)
            return True

    def stop(self) -> None:
        """Write nothing from now on. A thread that waits for a server may go on to wait, without harm."""
        with self._lock:
            self.is_stopped = True
        body = self._body
        if body is not None:
            body.abort()


class Pacer:
    """Holds all couriers together to a rate. `rate` is bytes per second, None for no limit; may change at any time."""

    def __init__(self, rate: float | None = None) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    def wait(self, count: int, is_stopped: Callable[[], bool]) -> None:
        """Return once `count` bytes more may have come."""
        rate = self.rate
        if rate is None:
            return
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + count / max(rate, 1.0)
            until = self._free_at
        while (left := until - time.monotonic()) > 0 and not is_stopped():
            time.sleep(min(left, 0.2))


class Couriers:
    """The couriers of a transfer: threads for each source. The others wait their turn."""

    def __init__(self, locator: Locator, threads: KeyedPools) -> None:
        self._locator = locator
        self._threads = threads
        self.pacer = Pacer()

    def send(self, job: Job, source: str, part: Path, start: int, end: int) -> Errand:
        """Fetch the bytes from `start` to before `end` of the job into its part, which is made if it is not there.

        The errand's future raises GlmAriaError: what `Locator.fetch` raises, and that of the disk.
        """
        errand = Errand(start)
        errand.future = self._threads.submit(source, self._carry, job, source, part, end, errand)
        return errand

    def close(self) -> None:
        """Send nobody any more. Who is under way is not waited for."""
        self._threads.close()

    def _carry(self, job: Job, source: str, part: Path, end: int, errand: Errand) -> None:
        begun = time.monotonic()
        start = errand.position
        if errand.is_stopped:
            return
        # What the disk says must not be blamed on the source, so it is the outer one.
        with on_disk("write", part), open(_opened(part), "wb", buffering=0) as out:
            out.seek(start)
            with self._locator.fetch(job, source, start, end) as body:
                errand.begin(body, time.monotonic() - begun)
                at = body.start
                for chunk in body.chunks:
                    errand.came += len(chunk)
                    fresh = memoryview(chunk)[max(0, start - at) : end - at]
                    at += len(chunk)
                    if not errand.keep(out, fresh, min(at, end)) or at >= end < job.size:
                        return
                    self.pacer.wait(len(chunk), lambda: errand.is_stopped)


def _opened(part: Path) -> int:
    return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
