"""Which idle connection fetches what: new spans for the jobs of a transfer, within its budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from orchestrator.aria2 import schedule
from orchestrator.aria2.budget import Budget
from orchestrator.aria2.interface import Limits, Uri
from orchestrator.aria2.slots import Slot
from orchestrator.aria2.spans import Span
from orchestrator.aria2.supply import Supply, rates
from orchestrator.core.extents import Range

Opened = tuple[Slot, Span, Uri]


class Assigner:
    """One round of assignments. `active` are the jobs with a part, in order; their spans count against the budget."""

    def __init__(self, active: Sequence[Slot], budget: Budget, limits: Limits) -> None:
        self._now, self._clock = time.time(), time.monotonic()
        self._limits = limits
        self._budget = budget
        spans = [span for slot in active if not slot.is_small for span in slot.spans]
        self._room = min(budget.big_most - sum(span.width for span in spans), budget.spans_most - len(spans))
        self._used: dict[str, int] = {}
        for span in spans:
            self._used[span.source] = self._used.get(span.source, 0) + span.width

    def assign(self, slot: Slot) -> Iterator[Opened]:
        """Open the spans that the job gets now. Raises NoSpaceError, DiskIOError."""
        ready = [supply for supply in slot.supplies.values() if supply.usable(self._now, self._clock)]
        if not ready or slot.has_whole:
            return
        ranged = [] if slot.is_small else [supply for supply in ready if not supply.is_whole]
        if ranged:
            slot.prepare()
            each = rates(ranged)
            for supply in sorted(ranged, key=lambda one: -each[one.source]):
                yield from self._fill(slot, supply, each)
        elif not slot.spans and slot.extents.total < max(slot.job.size, 1):
            supply = min(ready, key=lambda one: one.server.strikes)
            yield from self._opened(slot, slot.open_whole(supply.source, self._clock), supply)

    def _fill(self, slot: Slot, supply: Supply, each: dict[str, float]) -> Iterator[Opened]:
        """Use the source's idle connections for this job."""
        most = self._limits.connections_per_mirror
        mine = sum(span.width for span in slot.spans if span.source == supply.source)
        free = min(supply.server.allowed - self._used.get(supply.source, 0), most - mine)
        planned = sum(
            each[one.source] * min(one.server.allowed, most) for one in slot.supplies.values() if one.source in each
        )
        while free > 0 and self._room > 0:
            width = min(free, self._budget.width)
            found = self._range(slot, supply, each[supply.source] * width, planned)
            if found is None:
                return
            free -= width
            span = slot.open_span(supply.source, *found, self._clock, width=width)
            yield from self._opened(slot, span, supply)

    def _range(self, slot: Slot, supply: Supply, each: float, planned: float) -> Range | None:
        if unassigned := slot.unassigned():
            left = sum(end - start for start, end in unassigned) + sum(span.left for span in slot.spans)
            return schedule.carve(unassigned, schedule.length(left, each, planned, slot.opened))
        found = schedule.take_over(slot.spans, each, supply.server.setup)
        if found is None:
            return None
        slowest, cut = found
        start, end = cut, slowest.end
        slowest.end = cut
        return start, end

    def _opened(self, slot: Slot, span: Span, supply: Supply) -> Iterator[Opened]:
        self._room -= 0 if slot.is_small else 1 if self._budget.width > 1 else span.width
        self._used[span.source] = self._used.get(span.source, 0) + span.width
        if supply.uri is not None:
            yield slot, span, supply.uri
