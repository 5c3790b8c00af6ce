"""The jobs of a transfer while they are under way: their state, their part, what arrived, and who sends the rest."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from orchestrator.aria2.control import FINE_PIECE
from orchestrator.core.extents import Extents, Ranges, clip, intersect, outward, subtract, union
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.proof.verified import VerifiedFile
from orchestrator.system.failures import translate
from orchestrator.transfer import journal
from orchestrator.transfer.interface import Need
from orchestrator.transfer.jobs import ENDS, TRANSITIONS, JobEvent, JobState
from orchestrator.transfer.spans import SMALL, Span
from orchestrator.transfer.supply import Supplies

_JOURNAL_SECONDS = 0.1


@dataclass(slots=True)
class Slot:
    """A job under way, and what is known of it. Only the transfer's own thread touches it.

    `extents` are what ended spans brought; `spans` are those that run, `opened` counts them all. `proof` is that of a
    courier who wrote all bytes. `number` is its place in the order in which jobs came.

    `need` is what is wanted of it. `dropping` are ranges that are taken back: nobody fetches them before the spans that
    may still write there are closed.
    """

    job: Job
    part: Path
    state: JobState = JobState.WAITING
    need: Need = field(default_factory=Need)
    number: int = 0
    not_before: float = 0.0
    supplies: Supplies = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    extents: Extents = field(default_factory=Extents)
    kept: Extents = field(default_factory=Extents)
    dropping: Ranges = ()
    proof: VerifiedFile | None = None
    is_prepared: bool = False
    is_pausing: bool = False
    opened: int = 0
    _is_reserved: bool = False
    _saved: float = 0.0
    _saved_extents: Extents = field(default_factory=Extents)
    _starved_since: float = math.inf
    _free: tuple[Extents, Need, Ranges, Ranges] | None = None

    @property
    def is_small(self) -> bool:
        """True for a file that is one request and has no journal."""
        return self.job.size < SMALL

    @property
    def pace(self) -> tuple[float, int]:
        """Bytes per second and open connections, of all spans."""
        return sum(span.rate for span in self.spans), sum(span.connections for span in self.spans)

    @property
    def is_hungry(self) -> bool:
        """True when a source may be asked for something that nobody fetches."""
        return any(self.is_hungry_for(source) for source in self.supplies)

    def is_hungry_for(self, source: str) -> bool:
        """True when this source may be asked for something that nobody fetches."""
        supply = self.supplies[source]
        return supply.error is None and bool(self.unassigned(supply.reach))

    @property
    def starved(self) -> float:
        """The seconds for which no source had anything to give of what is missing."""
        if self.spans or self.is_hungry:
            self._starved_since = math.inf
        else:
            self._starved_since = min(self._starved_since, time.monotonic())
        return max(0.0, time.monotonic() - self._starved_since)

    @property
    def is_complete(self) -> bool:
        """True when all bytes are here and aria2 has closed the part."""
        return not self.spans and self.is_prepared and self.extents.total == self.job.size

    @property
    def is_at_rest(self) -> bool:
        """True when no span is open, and none is to be opened: nobody wants more than is here."""
        has_all = self.need.only is not None and self.is_prepared and not self.dropping and not self.missing()
        return not self.spans and (self.is_pausing or has_all)

    def want(self, need: Need) -> None:
        """From now on this is wanted of the job, even if it was to be paused."""
        self.is_pausing = False
        if not self.is_small:
            size = self.job.size
            only = None if need.only is None else outward(need.only, size, FINE_PIECE)
            self.need = Need(only, outward(need.first, size, FINE_PIECE))

    def drop(self, ranges: Ranges) -> None:
        """Take bytes back: they are forgotten once nobody can write there any more, and only then fetched again. Of a
        small file, all of them."""
        whole = ((0, self.job.size),)
        self.dropping = whole if self.is_small else union((*self.dropping, *outward(ranges, self.job.size, FINE_PIECE)))

    def in_the_way(self) -> list[Span]:
        """The spans that must end before what is dropped can be forgotten, or before the job can pause."""
        return [
            span
            for span in self.spans
            if not span.is_leaving and (self.is_pausing or next(clip(self.dropping, span.start, span.limit), None))
        ]

    def forget_dropped(self) -> None:
        """Forget what was taken back, if no span can write there any more."""
        if not self.dropping or any(next(clip(self.dropping, one.start, one.limit), None) for one in self.spans):
            return
        if self.is_small:
            self.wipe()
        else:
            self.extents, self.kept = self.extents.minus(self.dropping), self.kept.minus(self.dropping)
            self.record(now=True)
        self.dropping = ()

    def arrived(self) -> Extents:
        """All that is in the part by now, and was not taken back."""
        found = self.extents.put(extent for span in self.spans for extent in span.extents())
        return found.minus(self.dropping) if self.dropping else found

    def awaited(self) -> Ranges:
        """The first gap in each of the ranges that somebody waits for: at its start a reader has come to a stop."""
        gaps = self.extents.missing(self.job.size) if self.need.first else ()
        gaps = tuple(subtract(gaps, [(span.start, span.position) for span in self.spans]))
        return tuple(filter(None, (next(clip(gaps, *one), None) for one in self.need.first)))

    def missing(self) -> Ranges:
        """The ranges that are wanted and not here."""
        found = self.extents.missing(self.job.size)
        return found if self.need.only is None else tuple(intersect(found, self.need.only))

    def unassigned(self, reach: Ranges | None = None) -> Ranges:
        """The ranges, of those in `reach`, that nobody has and nobody fetches."""
        if self.is_pausing:
            return ()
        return self._unassigned() if reach is None else _within(self._unassigned(), reach)

    def _unassigned(self) -> Ranges:
        """The same of any reach."""
        busy = *((span.start, span.end) for span in self.spans), *self.dropping
        known = self._free
        if known is None or known[0] is not self.extents or known[1] is not self.need or known[2] != busy:
            known = self._free = self.extents, self.need, busy, tuple(subtract(self.missing(), busy))
        return known[3]

    def prepare(self) -> None:
        """Make the part ready to be continued from its journal, or begun. Raises per `system.failures`."""
        is_sparse = self.need.only is not None
        if self.is_prepared and (self._is_reserved or is_sparse):
            return
        with self._on_disk("prepare"):
            if self.is_small:
                self.part.unlink(missing_ok=True)
            elif self.is_prepared:
                journal.reserve(self.part, self.job.size)
            else:
                found = journal.prepare(self.part, self.job.digest, self.job.size, is_sparse=is_sparse)
                self.extents = self.kept = found
        self.is_prepared, self._is_reserved = True, not is_sparse

    def prepare_whole(self) -> bool:
        """Make the part ready if its journal says that nothing is missing; False if not. Raises as `prepare`."""
        known = None if self.is_small else journal.load(self.part, self.job.digest, self.job.size)
        if known is None or known.total < self.job.size:
            return False
        self.prepare()
        return self.is_complete

    def open_span(self, source: str, start: int, end: int, now: float, *, width: int = 1) -> Span:
        """A span that fetches these bytes, with the name that it writes to. Raises per `system.failures`."""
        path = journal.span_path(self.part, self.opened)
        self.opened += 1
        span = Span(source, path, start, end, self.job.size, now, width=width)
        with self._on_disk("open"):
            span.open(self.part)
        self.spans.append(span)
        return span

    def open_errand(self, source: str, now: float) -> Span:
        """A span for a courier, over all of `errand`. Raises per `system.failures`."""
        self.prepare()
        ((start, end),) = self.errand() or ((0, 0),)
        span = Span(source, self.part, start, end, self.job.size, now)
        self.spans.append(span)
        return span

    def errand(self) -> Ranges:
        """The range that a courier fetches, from the first missing byte to the last, with what is here between them."""
        missing = self.missing()
        return ((missing[0][0], missing[-1][1]),) if missing else ()

    def close_span(self, span: Span) -> None:
        """aria2 is done with it: keep what it brought, and remove its name."""
        self.spans.remove(span)
        with self._on_disk("close"):
            span.close()
        if not self.is_small or span.position == span.end:
            self.extents = self.extents.put(span.extents())
        elif self.state is JobState.ACTIVE:  # the part of a job that was given up may be another run's by now
            self.wipe()

    def wipe(self) -> None:
        """Forget the arrived bytes: the next try starts from the beginning."""
        with self._on_disk("remove"):
            journal.clear(self.part)
            self.part.unlink(missing_ok=True)
        self.extents = self.kept = Extents()
        self.proof = None
        self.is_prepared = self._is_reserved = False

    def record(self, *, now: bool = False) -> bool:
        """Journal what has arrived, not at every poll of a fast one unless `now`; True when there was something new."""
        if self.is_small or not self.is_prepared:
            return False
        clock = time.monotonic()
        if not now and clock - self._saved < _JOURNAL_SECONDS:
            return False
        arrived = self.arrived()
        if arrived == self._saved_extents:
            return False
        with contextlib.suppress(OSError):  # a full disk: the journal before this one stands, and is true
            journal.save(self.part, self.job.digest, self.job.size, arrived)
        self._saved, self._saved_extents = clock, arrived
        return True

    @contextlib.contextmanager
    def _on_disk(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            translated = translate(error, f"{what} the part of {self.job.name!r}:", self.part)
            translated.file = self.job.name
            raise translated from error


@lru_cache(maxsize=512)  # asked for each source many times a second, and may be thousands of ranges
def _within(free: Ranges, reach: Ranges) -> Ranges:
    return tuple(intersect(free, reach))


class Slots:
    """All jobs that have not ended, by state; states change by the table in `transfer.jobs` only.

    No call looks at all jobs that wait: there may be a hundred thousand, and each poll calls.
    """

    def __init__(self) -> None:
        self._begun: dict[JobState, dict[Digest, Slot]] = {JobState.LOCATING: {}, JobState.ACTIVE: {}}
        self._queues: dict[bool, OrderedDict[Digest, Slot]] = {True: OrderedDict(), False: OrderedDict()}
        self._put_off: dict[Digest, Slot] = {}
        self._hurried: dict[Digest, Slot] = {}
        self._closing: dict[Digest, Slot] = {}
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return any((*self._begun.values(), *self._queues.values(), self._put_off))

    def add(self, slot: Slot) -> None:
        """A new job, which is WAITING."""
        slot.number = next(self._numbers)
        self._queues[slot.is_small][slot.job.digest] = slot

    def get(self, digest: Digest) -> Slot | None:
        """A job that has not ended."""
        for jobs in (*self._begun.values(), *self._queues.values(), self._put_off):
            if slot := jobs.get(digest):
                return slot
        return None

    def of(self, *states: JobState) -> list[Slot]:
        """The jobs in these states, LOCATING or ACTIVE, each in the order in which they got there."""
        return [slot for state in states for slot in self._begun[state].values()]

    def waits(self, *, is_small: bool) -> bool:
        """True when some small, or large, job is WAITING."""
        return bool(self._queues[is_small]) or any(slot.is_small == is_small for slot in self._put_off.values())

    def first(self, *, small: bool, big: bool) -> Slot | None:
        """The first job that is WAITING and was not put off, of the kinds that are asked for."""
        queues = [self._queues[is_small] for is_small, is_asked in ((True, small), (False, big)) if is_asked]
        heads = [next(iter(queue.values())) for queue in queues if queue]
        return min(heads, key=lambda slot: slot.number, default=None)

    def hurry(self, slot: Slot) -> None:
        """Somebody waits for a job: if it is WAITING, it is one of those that begin before all others."""
        if slot.state is JobState.WAITING:
            self._hurried[slot.job.digest] = slot

    @property
    def hurried(self) -> list[Slot]:
        """The jobs that are WAITING, were not put off, and somebody waits for."""
        return [slot for digest, slot in self._hurried.items() if digest not in self._put_off]

    def is_closing(self, digest: Digest) -> bool:
        """True while spans of a job that was given up may still write to its part."""
        slot = self._closing.get(digest)
        if slot is not None and not slot.spans:
            del self._closing[digest]
            return False
        return slot is not None

    def put_off(self, slot: Slot, until: float) -> None:
        """Pass over a job that is WAITING until this time, in monotonic seconds."""
        slot.not_before = until
        self._put_off[slot.job.digest] = self._queues[slot.is_small].pop(slot.job.digest)

    def resume(self, now: float) -> None:
        """Jobs that were put off until now have their place again, before those that came after them."""
        due = [slot for slot in self._put_off.values() if slot.not_before <= now]
        for slot in sorted(due, key=lambda slot: slot.number, reverse=True):
            self._queues[slot.is_small][slot.job.digest] = self._put_off.pop(slot.job.digest)
            self._queues[slot.is_small].move_to_end(slot.job.digest, last=False)

    def drop(self, digests: Collection[Digest]) -> set[Digest]:
        """Forget these jobs, as far as they have not begun; returns those that are forgotten."""
        waiting = (*self._queues.values(), self._put_off)
        for digest in digests:
            self._hurried.pop(digest, None)
        return {digest for digest in digests if any(jobs.pop(digest, None) for jobs in waiting)}

    def on(self, slot: Slot, event: JobEvent) -> None:
        """Something happened to a job. One that has ended is dropped."""
        digest = slot.job.digest
        waiting = self._put_off if digest in self._put_off else self._queues[slot.is_small]
        del (waiting if slot.state is JobState.WAITING else self._begun[slot.state])[digest]
        self._hurried.pop(digest, None)
        slot.state = TRANSITIONS[slot.state, event]
        if slot.state not in ENDS:
            self._begun[slot.state][digest] = slot
        elif slot.spans:
            self._closing = {d: one for d, one in self._closing.items() if one.spans} | {digest: slot}
