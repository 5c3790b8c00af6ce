"""Python fetches what aria2 shall not, or cannot: small files, and files from a source that sends no ranges.

aria2 follows redirects without asking anybody, syncs every file that it closes, and cannot take a range whose answer
does not tell its length. Here each redirect is judged, each byte counted against the listing, and the token goes where
it may. A courier is a thread that writes bodies to parts, one after the other; the transfer's own thread looks on.

There may be a hundred thousand small files, so each costs as little as it can: no future, and a proof that is made of
the bytes while they are written (decision 82).
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from orchestrator.core.plan import Job
from orchestrator.core.sources import Body
from orchestrator.platform.open_flags import CLOEXEC, NOFOLLOW
from orchestrator.platform.places import write_at
from orchestrator.proof.verified import ProvingWriter, VerifiedFile
from orchestrator.system.failures import on_disk
from orchestrator.system.threads import KeyedPools, MakePool
from orchestrator.transfer.interface import Locator

MOST_THREADS = 128


class _Out(Protocol):
    def write(self, data: memoryview) -> None:
        """Write all of it. Raises OSError."""


@dataclass(slots=True, eq=False)
class Errand:
    """The bytes of `job` up to `end`, on their way from `source` to `part`. Its courier writes the other fields.

    `position` is the offset in the file up to which bytes were written, at first that of the first one that is wanted;
    `came` counts all that came, also what was here already and is passed over. `latency` is how long the answer took,
    None before it began. Once it `is_done`, `error` is what ended it: what `Locator.fetch` raises, and the disk's.
    `proof` is that of a file that was to `prove`, and came right.
    """

    job: Job
    source: str
    part: Path
    position: int
    end: int
    prove: bool = False
    came: int = 0
    latency: float | None = None
    is_begun: bool = False
    is_stopped: bool = False
    is_done: bool = False
    error: BaseException | None = None
    proof: VerifiedFile | None = None
    _body: Body | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_running(self) -> bool:
        """False while it waits its turn, and when it is over."""
        return self.is_begun and not self.is_done

    def begin(self, body: Body, seconds: float) -> None:
        """The answer is there."""
        self._body, self.latency = body, seconds

    def keep(self, out: _Out, data: memoryview, position: int) -> bool:
        """Write what came, up to `position` in the file; False when it is not wanted any more. Raises OSError."""
        with self._lock:
            if self.is_stopped:
                return False
            out.write(data)
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
    """The couriers of a transfer: at most `most` threads for each source. Errands beyond that wait their turn.

    A courier calls `on_done` whenever an errand is done.
    """

    def __init__(self, locator: Locator, make_pool: MakePool, most: int, on_done: Callable[[], None]) -> None:
        self._locator = locator
        self._threads = KeyedPools(make_pool, most, "courier", lambda: None)
        self._most = most
        self._on_done = on_done
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Errand]] = {}
        self._busy: dict[str, int] = {}
        self.pacer = Pacer()

    def send(self, job: Job, source: str, part: Path, start: int, end: int, *, prove: bool = False) -> Errand:
        """Fetch the bytes from `start` to before `end` of the job into its part, which is made if it is not there.

        With `prove`, where that is all of it, what is written is hashed. Raises TemporaryError where the system grants
        no thread at all.
        """
        errand = Errand(job, source, part, start, end, prove and (start, end) == (0, job.size))
        with self._lock:
            waiting = self._waiting.setdefault(source, deque())
            waiting.append(errand)
            is_enough = self._busy.get(source, 0) >= self._most
            if not is_enough:
                self._busy[source] = self._busy.get(source, 0) + 1
        if not is_enough:
            self._threads.submit(source, self._serve, source, waiting)
        return errand

    def close(self) -> None:
        """Send nobody any more. Who is under way is not waited for."""
        for waiting in self._waiting.values():
            waiting.clear()
        self._threads.close()

    def _serve(self, source: str, waiting: deque[Errand]) -> None:
        """Run errands until none waits."""
        while True:
            with self._lock:
                if not waiting:
                    self._busy[source] -= 1
                    return
                errand = waiting.popleft()
            if not errand.is_stopped:
                errand.is_begun = True
                try:
                    self._carry(errand)
                except BaseException as error:  # noqa: BLE001 - raised again where the errand is looked at
                    errand.error = error
            errand.is_done = True
            self._on_done()

    def _carry(self, errand: Errand) -> None:
        begun = time.monotonic()
        job, start = errand.job, errand.position
        # What the disk says must not be blamed on the source, so it is the outer one.
        with on_disk("write", errand.part):
            if errand.prove:
                with ProvingWriter(errand.part, job.digest, job.size) as whole:
                    self._write(errand, whole, start, begun)
                    errand.proof = None if errand.is_stopped else whole.proof()
            else:
                with _RangeWriter(errand.part, start) as out:
                    self._write(errand, out, start, begun)

    def _write(self, errand: Errand, out: _Out, start: int, begun: float) -> None:
        job, end = errand.job, errand.end
        with self._locator.fetch(job, errand.source, start, end) as body:
            errand.begin(body, time.monotonic() - begun)
            at = body.start
            for chunk in body.chunks:
                errand.came += len(chunk)
                fresh = memoryview(chunk)[max(0, start - at) : end - at]
                at += len(chunk)
                if not errand.keep(out, fresh, min(at, end)) or at >= end < job.size:
                    return
                self.pacer.wait(len(chunk), lambda: errand.is_stopped)


class _RangeWriter:
    """Writes to a part, which is made if it is not there, from `start` on."""

    def __init__(self, part: Path, start: int) -> None:
        self._fd = os.open(part, os.O_WRONLY | os.O_CREAT | NOFOLLOW | CLOEXEC, 0o666)
        self._at = start

    def write(self, data: memoryview) -> None:
        """Write all of it. Raises OSError."""
        while data:
            count = write_at(self._fd, data, self._at)
            data, self._at = data[count:], self._at + count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)
