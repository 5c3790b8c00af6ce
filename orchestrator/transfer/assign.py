"""Assignment of idle connections: new spans for the jobs of a transfer, within its budget."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from orchestrator.aria2.control import BLOCK, PIECE
from orchestrator.core.extents import Range, Ranges, intersect, outward, subtract, total, union
from orchestrator.core.plan import Job
from orchestrator.proof import pieces
from orchestrator.transfer import schedule
from orchestrator.transfer.active import Slot
from orchestrator.transfer.interface import Uri
from orchestrator.transfer.limits import START, Budget, TransferLimits
from orchestrator.transfer.spans import Span
from orchestrator.transfer.supply import Supply, rates, stand_ins

_TWICE_MOST = 0.01  # of all bytes: those that may come twice for the sake of a file's end
_NOTICED_SECONDS = 0.1  # until a connection that passed its end is stopped
_READER_SECONDS = 1.0  # that a reader waits for a range that some connection is about to bring

Pick = Callable[[Job, str, Ranges], int | None]
"""The `pick` of a locator."""

Opened = tuple[Slot, Span, Uri | None]
"""A span without an address is for a courier."""


class Assigner:
    """One round of assignments. `active` are the jobs with a part, in order; their spans count against the budget.

    `pick` is that of the locator. `leaving` are spans that shall be stopped, so that a faster source gets what is left
    of them.
    """

    def __init__(self, active: Sequence[Slot], budget: Budget, limits: TransferLimits, pick: Pick) -> None:
        self._now, self._clock = time.time(), time.monotonic()
        self._limits = limits
        self._pick = pick
        self._budget = budget
        spans = [span for slot in active if not slot.is_small for span in slot.spans]
        self._room = budget.big_most - sum(span.width for span in spans)
        self._under_way, self._spans_left = len(spans), budget.spans_most - len(spans)
        self._awaited = {slot.job.digest: slot.awaited() for slot in active if slot.need.first}
        self._to_be_free = [span for slot in active for span in slot.spans if span.is_leaving]
        waiting = {slot.job.digest: total(slot.unassigned()) for slot in active if not slot.is_small}
        everything = sum(waiting.values())
        self._beside = {digest: everything - own for digest, own in waiting.items()}
        self.leaving: list[Span] = []
        self._used: dict[str, int] = {}
        for span in spans:
            self._used[span.source] = self._used.get(span.source, 0) + span.width

    def assign(self, slot: Slot, *, awaited: bool = False, tails: bool = False) -> Iterator[Opened]:
        """Open the spans that the job gets now: ranges that nobody fetches, or only one for each reader that has come
        to a stop (`awaited`), or the `tails` of others, which are for connections that no job has a range for. Raises
        NoSpaceError, DiskIOError."""
        if slot.is_pausing:
            return
        ready = [supply for supply in slot.supplies.values() if supply.is_usable(self._now, self._clock)]
        ranged = [supply for supply in ready if not supply.is_carried]
        # Who hardly adds anything would only be stopped again, where others could bring the same.
        awake = {supply.source: supply for supply in ranged if supply.server.resting_until <= self._clock}
        ranged = [one for one in ranged if one.source in awake or not stand_ins(awake, one, slot.unassigned(one.reach))]
        if ranged:
            slot.prepare()
            each = rates([supply for supply in slot.supplies.values() if supply in ranged or supply.is_pending])
            # One that nobody knows yet first: what it can do shows only when it is tried.
            for supply in sorted(ranged, key=lambda one: (one.server.each is not None, -each[one.source])):
                yield from self._fill(slot, supply, each, awaited=awaited, tails=tails)
        elif (
            ready
            and not awaited
            and not slot.spans
            and not slot.is_complete
            and (slot.is_small or not self._has_ranged(slot))
        ):
            yield from self._send(slot, ready)

    def _send(self, slot: Slot, ready: Sequence[Supply]) -> Iterator[Opened]:
        """Send a courier: one request, whose time is mostly latency."""
        able = [supply for supply in ready if supply.has_all(slot.errand())]
        if able and not slot.dropping:
            supply = min(able, key=lambda one: (one.server.strikes, one.server.setup))
            yield from self._opened(slot, slot.open_errand(supply.source, self._clock), supply)

    def make_way(self, slot: Slot, active: Sequence[Slot]) -> None:
        """Stop a span for the sake of what somebody waits for, where that would take long else."""
        awaited = self._of(slot)
        if not awaited or any(span.is_leaving for span in slot.spans):
            return
        late = [span for span in slot.spans if self._is_late(span, awaited)]
        waiting = tuple(one for one in awaited if not any(span.holds((one,)) for span in slot.spans))
        if not late and waiting:
            able = [name for name, one in slot.supplies.items() if one.is_usable(self._now, self._clock)]
            able = [name for name in able if slot.supplies[name].has_any(waiting)]
            # It takes a round or more until one that was stopped is closed, and no second one shall be for that.
            if freed := next((span for span in self._to_be_free if span.source in able), None):
                self._to_be_free.remove(freed)
                return
            late = [span for one in active for span in one.spans if not span.holds(self._of(one))]
            late = [span for span in late if span.source in able and not span.is_leaving]
            # One that has just begun may have little to bring, and the connection that began it was free a moment ago.
            young = (not span.rate and self._clock - span.begun < _READER_SECONDS for span in late)
            if any(span.seconds_left <= _READER_SECONDS for span in late) or any(young):
                return
        stopped = max((span for span in late if span.gid), key=lambda span: span.left, default=None)
        if stopped is not None:
            stopped.is_leaving = True
            self.leaving.append(stopped)

    def _of(self, slot: Slot) -> Ranges:
        """The gaps at which readers of a job have come to a stop."""
        return self._awaited.get(slot.job.digest, ())

    def _is_late(self, span: Span, awaited: Ranges) -> bool:
        """True when a span holds the byte that a reader waits for, and will come to it late."""
        start = next((start for start, _ in awaited if span.position < start < span.end), None)
        if start is None:
            return False
        seconds = (start - span.position) / span.rate if span.rate else self._clock - span.begun
        return seconds > _READER_SECONDS

    @staticmethod
    def _has_ranged(slot: Slot) -> bool:
        """True when a source that sends ranges is of use, if not just now: it loses nothing of what is here."""
        return any(not supply.is_carried and supply.error is None for supply in slot.supplies.values())

    def _fill(
        self, slot: Slot, supply: Supply, each: dict[str, float], *, awaited: bool, tails: bool
    ) -> Iterator[Opened]:
        """Use the source's idle connections for this job. `each` is what a connection to each source brings."""
        most = self._limits.connections_per_mirror
        mine = sum(span.width for span in slot.spans if span.source == supply.source)
        free = min(supply.server.allowed - self._used.get(supply.source, 0), most - mine)
        planned = {name: rate * min(slot.supplies[name].server.allowed or START, most) for name, rate in each.items()}
        while free > 0 and self._room > 0 and self._spans_left > 0:
            width = min(free, self._budget.width, self._room)
            unassigned = slot.unassigned(supply.reach)
            if awaited:
                starts = {start for start, _ in self._of(slot)}
                unassigned = tuple(one for one in intersect(unassigned, self._of(slot)) if one[0] in starts)
            if unassigned:
                found = self._share(slot, supply, unassigned, each[supply.source] * width, planned)
            else:
                found = self._tail(slot, supply, each[supply.source]) if tails else None
            if found is None:
                return
            free -= width
            if found[0] < found[1]:
                span = slot.open_span(supply.source, *found, self._clock, width=width)
                yield from self._opened(slot, span, supply)

    @staticmethod
    def _within(slot: Slot, supply: Supply) -> list[Span]:
        """The spans whose rest the source could send."""
        if supply.reach is None:
            return slot.spans
        return [span for span in slot.spans if span.left and supply.has_all(span.rest)]

    @staticmethod
    def _may_come_twice(slot: Slot, span: Span) -> bool:
        """False for a span of who alone may be asked for that: each byte that it sends is one for all nodes."""
        supply = slot.supplies[span.source]
        return supply.reach is None or bool(stand_ins(slot.supplies, supply, span.rest))

    def _share(
        self, slot: Slot, supply: Supply, unassigned: Ranges, each: float, planned: dict[str, float]
    ) -> Range | None:
        """A range that fits the connection; None when the source has its share of what is left already."""
        planned = {name: rate for name, rate in planned.items() if slot.supplies[name].has_any(unassigned)}
        left = total(unassigned) + sum(span.left for span in self._within(slot, supply))
        # As long as another file waits for connections, no range has to be short for the sake of this one's end.
        beside = self._beside[slot.job.digest] if supply.reach is None else 0
        all_rates, server = sum(planned.values()), supply.server
        # What one source alone may be asked for is little at a time, and is not to be cut finer for that.
        is_fine = self._budget.width == 1 and supply.reach is None
        least = schedule.least(each, server.turn) if is_fine else PIECE
        wanted = schedule.length(
            left + beside,
            each,
            all_rates,
            number=slot.opened,
            answer=max(server.round_trip, server.latency or 0.0),
            turn=server.turn,
            most=min(max(server.growth.most, server.allowed) * len(planned), self._budget.big_most),
        )
        # Of a source that nobody knows yet a little: a long span at the front would hold up the file's order.
        trial = max(schedule.FIRST, server.bytes // max(1, server.allowed))
        wanted = wanted if server.each else min(wanted, trial)
        if first := tuple(intersect(unassigned, slot.need.first)):
            # A reader has use of the beginning, so nobody gets more of it than comes soon.
            return schedule.carve(first, min(wanted, int(each * _READER_SECONDS)), least=least)
        at = self._pick(slot.job, supply.source, unassigned) if supply.reach is not None else None
        if at is not None:
            return schedule.run(unassigned, at, each if server.each else 0.0)
        if len(planned) > 1 and supply.reach is not None:
            # Of each piece that is passed on it is to be known who sent it: who has begun one brings it to its end.
            if own := tuple(intersect(unassigned, _begun(slot, unassigned, {supply.source}))):
                return schedule.carve(own, wanted, least=least)
            unassigned = tuple(subtract(unassigned, _begun(slot, unassigned, planned.keys() - {supply.source})))
            if not unassigned:
                return None
        if len(planned) > 1:
            share = left * planned[supply.source] / all_rates
            has = sum(span.left for span in slot.spans if span.source == supply.source)
            # What is left may be too little to be shared: then it is for whose connection is done with it first, or
            # nobody would fetch it.
            if supply.source != self._soonest(slot, planned, least) if share < least else has >= share:
                return None
        return schedule.carve(unassigned, wanted, least=least)

    def _soonest(self, slot: Slot, names: Iterable[str], size: int) -> str:
        """The source of which a connection is done first with so many bytes. One that has not answered yet may be
        waiting for long, and one that nobody knows yet is tried with ranges that do not matter so much."""
        able = [slot.supplies[name] for name in names if slot.supplies[name].is_usable(self._now, self._clock)]
        return min(able, key=lambda one: one.server.turn + size / (one.server.each or 1.0)).source

    def _tail(self, slot: Slot, supply: Supply, each: float) -> Range | None:
        """The tail that the connection takes over now; an empty range if it has to wait. That of the last span, or of
        the last one of its own source, where it is no better than another source."""
        server, line = supply.server, supply.server.line
        within = [span for span in self._within(slot, supply) if self._may_come_twice(slot, span)]
        for spans in (within, [span for span in within if span.source == supply.source]):
            last = schedule.slowest(spans, server.turn, self._clock)
            if last is None:
                continue
            is_own = last.source == supply.source
            found = schedule.tail(last, each, server.turn) if is_own else (0, 0)
            is_worse = server.each is not None and not schedule.is_better_done_by(last, each, server.turn)
            if found is None or (is_worse and not is_own):
                continue
            # What is on its way beyond the cut comes twice: at least a block, so that this comes to an end in any case.
            twice = max(BLOCK, round(last.rate * (server.round_trip + _NOTICED_SECONDS)))
            room = _TWICE_MOST * max(slot.job.size, line.total.bytes) - line.twice
            # Where there is not enough of that for the tails of all, it is for those that take longest.
            price = max(1.0, self._under_way * twice / room) if room > 0 else math.inf
            sooner = (last.seconds_left - server.turn) / 2
            if twice > room or each * sooner < price * twice or sooner < self._limits.patience:
                return None
            line.twice += twice
            if is_own:
                last.end = found[0]
            else:
                # Both would write beyond the cut for a moment, and nobody could tell whose bytes those are. So the slow
                # one is stopped first; what it leaves is given out in the next round, each source its share.
                self.leaving.append(last)
                last.is_leaving = True
            return found
        return None

    def _opened(self, slot: Slot, span: Span, supply: Supply) -> Iterator[Opened]:
        if not slot.is_small:
            self._room -= span.width
            self._spans_left -= 1
        self._used[span.source] = self._used.get(span.source, 0) + span.width
        yield slot, span, None if supply.is_carried else supply.uri


def _begun(slot: Slot, free: Ranges, sources: Collection[str]) -> Ranges:
    """The pieces around the free ranges of which these sources have sent something, or are about to."""
    items, first = slot.extents.items, free[0][0] // pieces.PIECE * pieces.PIECE
    begun = [(span.start, span.limit) for span in slot.spans if span.source in sources]
    for item in items[max(0, bisect_right(items, first, key=lambda one: one.start) - 1) :]:
        if item.start >= free[-1][1]:
            break
        if item.source in sources:
            begun.append((item.start, item.end))
    return outward(union(begun), slot.job.size, pieces.PIECE)
