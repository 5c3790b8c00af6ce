"""The state of a transfer, summed up from its events. No I/O; the caller holds a lock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.files import Digest
from orchestrator.events import Event, FileProgress, Phase, Queued, SourceRates

# Phases whose `done` counts and whose speed is that of the run.
MOVING = (Phase.FETCHING, Phase.HASHING)
_OVER = (Phase.DONE, Phase.FAILED)
_OF_A_TRANSFER = (*MOVING, Phase.VERIFYING, Phase.WAITING, Phase.PLACING)
# Phases in which all bytes of a blob have arrived, whatever `done` counts then.
_ARRIVED = (Phase.VERIFYING, Phase.PLACING)
# The shown speed follows the measured one with this time constant, so that the time left does not jump about.
_SMOOTHING_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A transfer at one moment. Bytes, bytes per second, seconds; `seconds_left` is None while nobody can tell.

    `sources` are names with their speed and open connections.
    """

    files: int
    files_done: int
    done: int
    total: int
    speed: int
    seconds_left: float | None
    active: tuple[FileProgress, ...]
    sources: tuple[tuple[str, float, int], ...] = ()

    @property
    def percent(self) -> float:
        """0 to 100, and 100 only when all is there."""
        return min(100.0 * self.done / self.total, 99.0 if self.done < self.total else 100.0) if self.total else 100.0


class Tally:
    """Adds up events. A blob counts as fetched from its first FETCHING, VERIFYING, WAITING or PLACING event on: what
    another run fetches for us is part of the plan, and a small file may be here before it was seen FETCHING. One
    that is only checked (it was here before the run) is shown while that goes on, and not counted. A part of a blob
    that fails still counts, since the next run goes on with it; a whole one was no good.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._queued = Queued(0, 0)
        self._active: dict[Digest, FileProgress] = {}
        self._fetched: set[Digest] = set()
        self._finished: dict[Digest, int] = {}
        self._finished_bytes = 0
        self._stopped: dict[Digest, FileProgress] = {}
        self._moving = 0  # bytes per second that the active ones tell; kept as a sum, for there are thousands
        self._speed = 0.0
        self._sources: tuple[tuple[str, float, int], ...] = ()
        self._measured = clock()

    def take(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Queued):
            # Another transfer of a program that goes on: what came before is no part of it.
            self._queued, self._finished, self._finished_bytes, self._stopped = event, {}, 0, {}
            self._fetched &= self._active.keys()
        elif isinstance(event, FileProgress):
            self._file(event)
        elif isinstance(event, SourceRates):
            self._sources = event.sources

    def _file(self, event: FileProgress) -> None:
        # A blob may come back: a bad part, or bytes that a mirror made up.
        before = self._finished.pop(event.digest, None)
        self._finished_bytes -= before or 0
        if before is not None or event.phase in _OF_A_TRANSFER:
            self._fetched.add(event.digest)
        self._stopped.pop(event.digest, None)
        known = self._active.pop(event.digest, None)
        self._moving -= _speed_of(known)
        if event.phase in _OVER:
            if event.phase is Phase.FAILED and known and known.phase is Phase.FETCHING and known.done < known.total:
                self._stopped[event.digest] = known
            if event.phase is Phase.DONE and event.digest in self._fetched:
                self._fetched.remove(event.digest)
                self._finished[event.digest] = event.total
                self._finished_bytes += event.total
        else:
            self._active[event.digest] = event
            self._moving += _speed_of(event)
        self._measure()

    def _measure(self) -> None:
        now = self._clock()
        self._speed += (1 - math.exp((self._measured - now) / _SMOOTHING_SECONDS)) * (self._moving - self._speed)
        self._measured = now

    def snapshot(self) -> Snapshot:
        """The sums now; active files the biggest first."""
        here = total = self._finished_bytes
        for item in (*self._active.values(), *self._stopped.values()):
            if item.digest in self._fetched:
                here += item.total if item.phase in _ARRIVED else item.done
                total += item.total
        # Without a plan, what is known of is all there is.
        total = max(self._queued.bytes_total, total)
        speed = round(self._speed)
        return Snapshot(
            files=max(
                self._queued.files,
                len(self._finished) + len(self._fetched & (self._active.keys() | self._stopped.keys())),
            ),
            files_done=len(self._finished),
            done=here,
            total=total,
            speed=speed,
            seconds_left=(total - here) / speed if speed and total > here else None,
            active=tuple(sorted(self._active.values(), key=lambda item: (-item.total, item.name))),
            sources=self._sources,
        )


def _speed_of(item: FileProgress | None) -> int:
    return item.speed if item is not None and item.phase in MOVING else 0
