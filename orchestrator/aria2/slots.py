"""The jobs of a transfer while they are under way: their state, their part and journal, and who sent what."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.aria2 import journal
from orchestrator.aria2.budget import SMALL
from orchestrator.aria2.interface import Uri
from orchestrator.aria2.rpc import Status
from orchestrator.core.files import Digest
from orchestrator.core.jobs import TRANSITIONS, JobEvent, JobState
from orchestrator.core.plan import Job
from orchestrator.errors import DiskIOError, NoSpaceError

_JOURNAL_SECONDS = 0.1
_NEAR_SECONDS = 0.01


@dataclass(slots=True)
class Slot:
    """A job under way, and what is known of it. Only the transfer's own thread touches it."""

    job: Job
    part: Path
    state: JobState = JobState.WAITING
    tries: int = 0
    not_before: float = 0.0
    gid: str = ""
    uris: tuple[Uri, ...] = ()
    must_ask: bool = False  # the source said "too many requests": let the locator wait as long as it was told to
    connections: int = 1
    future: Future[tuple[Uri, ...]] | None = None
    status: Status | None = None
    seen: float = 0.0
    started: float = 0.0
    is_trial: bool | None = None  # one connection to a near server, to see whether it is fast; None: not tried yet
    best: int = 0  # bytes that renewed the right to try again; never less, or bad bytes would renew it for ever
    resumed: int = 0
    saved: float = 0.0
    saved_bits: bytes = b""
    weights: dict[str, float] = field(default_factory=dict)

    @property
    def is_small(self) -> bool:
        """True for a file that gets one connection and no journal."""
        return self.job.size < SMALL

    @property
    def is_near(self) -> bool:
        """True when its only source answers fast enough that a round trip costs next to nothing."""
        latency = self.uris[0].latency if len(self.uris) == 1 else None
        return latency is not None and latency < _NEAR_SECONDS

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources whose addresses aria2 was given, each once."""
        return tuple(dict.fromkeys(uri.source for uri in self.uris))

    def weigh(self, speeds: Iterable[tuple[str, int]], seconds: float) -> None:
        """Add speed x time for each (address, bytes/s): aria2 does not tell which source sent which bytes."""
        names = {uri.url: uri.source for uri in self.uris}
        for url, speed in speeds:
            if url in names:
                self.weights[names[url]] = self.weights.get(names[url], 0.0) + speed * seconds

    def sent(self, status: Status) -> dict[str, int]:
        """An estimate of the bytes that each source sent in this run."""
        total = self.job.size - self.resumed
        weight = sum(self.weights.values())
        if not weight:
            # Over before its speed was looked at: equal shares for those that were asked.
            used = dict.fromkeys(uri.source for uri in self.uris if uri.url in status.used) or self.sources[:1]
            return {source: total // len(used) for source in used}
        return {source: round(total * share / weight) for source, share in self.weights.items() if share}

    def prepare(self) -> None:
        """Make the part ready to be continued from its journal, or begun. Raises NoSpaceError, DiskIOError."""
        try:
            known = None if self.is_small else journal.prepare(self.part, self.job.digest, self.job.size)
        except OSError as error:
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise (NoSpaceError if is_full else DiskIOError)(
                f"{self.job.name!r}: the part {os.fspath(self.part)!r} cannot be prepared: {error.strerror}",
                file=self.job.name,
            ) from error
        self.resumed = known.done if known else 0
        self.best = max(self.best, self.resumed)

    def wipe(self) -> None:
        """Forget what arrived: the next try begins anew."""
        for path in (self.part, journal.control_path(self.part), journal.journal_path(self.part)):
            path.unlink(missing_ok=True)

    def record(self, status: Status, *, now: bool = False) -> None:
        """Journal what has arrived; not at every poll of a fast one, unless `now`."""
        if self.is_small or not status.bitfield or status.bitfield == self.saved_bits:
            return
        clock = time.monotonic()
        if not now and clock - self.saved < _JOURNAL_SECONDS:
            return
        entry = journal.Journal(self.job.digest, self.job.size, status.piece_length, status.bitfield)
        if entry.is_valid:
            with contextlib.suppress(OSError):  # a full disk: the journal before this one stands, and is true
                journal.save(self.part, entry)
            self.saved, self.saved_bits = clock, status.bitfield


class Slots:
    """All jobs that have not ended, by state; states change by the table in `core.jobs` only."""

    def __init__(self) -> None:
        self._by_state: dict[JobState, dict[Digest, Slot]] = {state: {} for state in JobState}

    def __bool__(self) -> bool:
        return any(self._by_state.values())

    def add(self, slot: Slot) -> None:
        """A new job, which is WAITING."""
        self._by_state[JobState.WAITING][slot.job.digest] = slot

    def of(self, state: JobState) -> list[Slot]:
        """The jobs in a state, in the order in which they got there."""
        return list(self._by_state[state].values())

    def on(self, slot: Slot, event: JobEvent) -> None:
        """Something happened to a job. One that has ended is dropped."""
        del self._by_state[slot.state][slot.job.digest]
        slot.state = TRANSITIONS[slot.state, event]
        if slot.state not in (JobState.FETCHED, JobState.LOST):
            self._by_state[slot.state][slot.job.digest] = slot
