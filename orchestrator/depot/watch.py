"""Watches: what those who want a blob see of it while it comes.

Any number of threads, and event loops, watch one blob. What they see is unproven before `PROVEN`: who passes bytes on
before that must be able to take them back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from orchestrator.core.extents import Extents, Ranges, union
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.errors import GlmAriaError
from orchestrator.transfer.interface import Need


class State(StrEnum):
    """The state of a blob that is wanted.

    SUSPECT: its bytes were wrong, and those of somebody are fetched again. PROVEN: the part is whole and has its
    digest. PLACED: it is in the cache, where its part was moved to. LOST: it is given up. The last two are ends.
    """

    WAITING = "waiting"
    ARRIVING = "arriving"
    SUSPECT = "suspect"
    PROVEN = "proven"
    PLACED = "placed"
    LOST = "lost"


_ENDS = (State.PLACED, State.LOST)


@dataclass(slots=True, eq=False)
class Arrival:
    """One blob on its way, for all who watch it. The depot's thread alone changes how it is; `lock` is the depot's, and
    guards `watches`, `wants` and `is_told`.

    `is_told`: the depot is to look at the wants. `has_left`: the transfer is done with it. `is_elsewhere`: another
    process has the claim, and fetches it. `wants` counts all who ever wanted it. `taken_back` are ranges that count for
    nothing any more, each with the epoch that began with that.
    """

    job: Job
    part_of: Callable[[Digest], Path]
    lock: threading.Lock
    state: State = State.WAITING
    arrived: Extents = field(default_factory=Extents)
    error: GlmAriaError | None = None
    version: int = 0
    epoch: int = 0
    taken_back: list[tuple[int, Ranges]] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    is_told: bool = False
    has_left: bool = False
    is_elsewhere: bool = False
    wants: int = 0
    _changed: threading.Condition | None = None

    @property
    def is_wanted(self) -> bool:
        """True when somebody wants some of it, and does not only watch. To be called with the lock held."""
        return any(watch.only != () for watch in self.watches)

    @property
    def need(self) -> Need:
        """All that is wanted of it. To be called with the lock held."""
        onlys = [watch.only for watch in self.watches]
        only = None if None in onlys else union(one for ranges in onlys for one in ranges or ())
        return Need(only, union(one for watch in self.watches for one in watch.first))

    def grow(self, arrived: Extents) -> None:
        """More has arrived in the part; or less is there than before, if that was begun again."""
        is_less = arrived.total < self.arrived.total
        self.arrived = arrived
        if is_less:
            self._begin_epoch(self._whole)
        self.enter(State.ARRIVING if self.state is State.WAITING else self.state)

    def take_back(self, ranges: Ranges | None = None, state: State | None = None) -> None:
        """These ranges, or all, count for nothing, if they arrived. To be called before anything is written there."""
        ranges = self._whole if ranges is None else ranges
        self.arrived = self.arrived.minus(ranges)
        self._begin_epoch(ranges)
        self.enter(state or self.state)

    def _begin_epoch(self, ranges: Ranges) -> None:
        # After `arrived` has less: who sees the new epoch must not see what arrived in the old one.
        self.taken_back.append((self.epoch + 1, ranges))
        self.epoch += 1

    @property
    def _whole(self) -> Ranges:
        return ((0, self.job.size),)

    def enter(self, state: State, error: GlmAriaError | None = None) -> None:
        """It is in this state now: tell all who watch."""
        with self.lock:
            self.state, self.error = state, error
            self.version += 1
            if self._changed is not None:
                self._changed.notify_all()
            calls = [watch.call for watch in self.watches if watch.call is not None]
        for call in calls:
            call()

    def wait(self, seen: int, seconds: float) -> int:
        """See `Watch.wait`."""
        with self.lock:
            if self._changed is None:
                self._changed = threading.Condition(self.lock)
            self._changed.wait_for(lambda: self.version > seen, seconds)
            return self.version


class Watch:
    """A want of a blob, or of some ranges of it, and the view of it; of no range at all, the view alone. Thread-safe; a
    context manager that gives it back.

    A reader that passes on what arrived keeps to this order: note `epoch`, look at `arrived`, read the part, look at
    `epoch` again. If it grew, the bytes may be others than those that will be proven: what was read counts for nothing,
    and `part` has to be opened again. Bytes that were passed on under an older epoch need not be those that the proven
    file begins with. A file that is one request (below 2 MiB) shows nothing of `arrived` before it is PROVEN.
    """

    __slots__ = ("_arrival", "_tell", "call", "first", "only")  # there may be a hundred thousand

    def __init__(self, arrival: Arrival, tell: Callable[[Arrival], None], only: Ranges | None) -> None:
        self._arrival = arrival
        self._tell = tell
        self.only = only
        self.first: Ranges = ()
        self.call: Callable[[], None] | None = None

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def job(self) -> Job:
        """The job, as the first one who wants the blob named it."""
        return self._arrival.job

    @property
    def part(self) -> Path:
        """The file where the bytes lie before the blob is PLACED. An open one stays good for reading after that."""
        return self._arrival.part_of(self._arrival.job.digest)

    @property
    def state(self) -> State:
        """The state of the blob."""
        return self._arrival.state

    @property
    def is_elsewhere(self) -> bool:
        """True while another process fetches it into the same cache, and this one waits for that."""
        return self._arrival.is_elsewhere

    @property
    def has_ended(self) -> bool:
        """True when nothing becomes of it any more: it is PLACED, or LOST."""
        return self.state in _ENDS

    @property
    def arrived(self) -> Extents:
        """The bytes that are in the part now; proven once the state is PROVEN."""
        return self._arrival.arrived

    @property
    def error(self) -> GlmAriaError | None:
        """The reason why it is LOST."""
        return self._arrival.error

    @property
    def version(self) -> int:
        """A number that grows with each change."""
        return self._arrival.version

    @property
    def epoch(self) -> int:
        """A number that grows before bytes that had arrived are taken back."""
        return self._arrival.epoch

    def replaced(self, since: int) -> Ranges:
        """The ranges that were taken back since `epoch` was this: what was known of their bytes counts for nothing."""
        taken = tuple(self._arrival.taken_back)
        return union(one for epoch, ranges in taken if epoch > since for one in ranges)

    def wait(self, seen: int, seconds: float) -> int:
        """Wait until `version` is above `seen`, `seconds` at most; the version then."""
        return self._arrival.wait(seen, seconds)

    def subscribe(self, call: Callable[[], None]) -> None:
        """Have `call` called, by another thread, after each change from now on. It must not block: an event loop's
        `call_soon_threadsafe` is meant."""
        self.call = call

    def want(self, ranges: Ranges) -> None:
        """Have these ranges fetched first, in the place of those of the last call: somebody waits for them."""
        if ranges != self.first:
            self.first = ranges
            if self.only is not None:
                self.only = union((*self.only, *ranges))
            self._tell(self._arrival)

    def close(self) -> None:
        """Give the want back. When it was the last one, the blob is not fetched on; what arrived stays for later."""
        with self._arrival.lock:
            self.call = None
            if self not in self._arrival.watches:
                return
            self._arrival.watches.remove(self)
        self._tell(self._arrival)
