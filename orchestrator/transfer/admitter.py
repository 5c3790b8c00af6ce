"""Admission of jobs: which of those that wait begin now, and what large and small files have of the connections."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.core.plan import Job
from orchestrator.errors import GlmAriaError
from orchestrator.transfer.active import Slot, Slots
from orchestrator.transfer.downloads import Downloads
from orchestrator.transfer.interface import Admission, Already, Lost, TransferEvent
from orchestrator.transfer.jobs import JobEvent, JobState
from orchestrator.transfer.limits import Budget, TransferLimits

BUSY_SECONDS = 0.2  # until a job that somebody else fetches is tried again
_AHEAD = 2  # large files that have ranges to give out: the next begins before the one before it ends


class Admitter:
    """Lets jobs begin. `part`, `admit` and `tell` are those of the transfer."""

    def __init__(
        self,
        slots: Slots,
        downloads: Downloads,
        limits: TransferLimits,
        *,
        part: Callable[[Job], Path],
        admit: Callable[[Job], Admission],
        tell: Callable[[TransferEvent], None],
    ) -> None:
        self._slots = slots
        self._downloads = downloads
        self._limits = limits
        self._part = part
        self._may_start = admit
        self._tell = tell

    @property
    def budget(self) -> Budget:
        """The shares of large and small files now."""
        running = self._slots.of(JobState.LOCATING, JobState.ACTIVE)
        big = [slot for slot in running if not slot.is_small]
        used = sum(span.width for slot in big for span in slot.spans)
        has_big = bool(big) or self._slots.waits(is_small=False)
        has_small = len(big) < len(running) or self._slots.waits(is_small=True)
        supplies = [supply for slot in running for supply in slot.supplies.values() if supply.error is None]
        sources = len({supply.source for supply in supplies if supply.server.allowed})
        most = self._downloads.most
        return Budget.of(self._limits, has_big=has_big, has_small=has_small, big_used=used, most=most, sources=sources)

    def admit(self) -> None:
        """Move jobs from WAITING to LOCATING as far as there is use for them, and those that somebody waits for."""
        self._slots.resume(time.monotonic())
        for hurried in self._slots.hurried:
            self._admit_one(hurried)
        running = self._slots.of(JobState.LOCATING, JobState.ACTIVE)
        small_room = self.budget.small_most - sum(slot.is_small for slot in running)
        big_room = _AHEAD - self._ahead([slot for slot in running if not slot.is_small])
        room = self._limits.jobs - len(running) if self._limits.jobs else math.inf
        while room > 0 and (slot := self._slots.first(small=small_room > 0, big=big_room > 0)):
            if self._admit_one(slot):
                room -= 1
                small_room -= slot.is_small
                big_room -= not slot.is_small

    def _ahead(self, big: Sequence[Slot]) -> int:
        """The large files that have ranges to give out, to each source of which we know that it has a part of each file
        only: the next file may be the one of which it has more."""
        hungry = [slot for slot in big if self.is_hungry(slot)]
        partial = {name for slot in big for name, supply in slot.supplies.items() if supply.reach is not None}
        counts = Counter(name for slot in hungry for name in partial & slot.supplies.keys() if slot.is_hungry_for(name))
        return min([len(hungry), *(counts[name] for name in partial)])

    def is_hungry(self, slot: Slot) -> bool:
        """True when it has ranges that more connections could fetch."""
        if not slot.supplies:
            return True
        able = sum(supply.error is None for supply in slot.supplies.values())
        most = self._limits.connections_per_mirror * max(1, able)
        return slot.is_hungry and sum(span.width for span in slot.spans) < most

    def _admit_one(self, slot: Slot) -> bool:
        is_closing = self._slots.is_closing(slot.job.digest)
        try:
            admission = Admission.BUSY if is_closing else self._may_start(slot.job)
        except GlmAriaError as error:
            self._slots.on(slot, JobEvent.GIVE_UP)
            self._tell(Lost(slot.job, error))
            return False
        if admission is Admission.BUSY:
            self._slots.put_off(slot, time.monotonic() + BUSY_SECONDS)
        elif admission is Admission.ALREADY:
            self._slots.on(slot, JobEvent.ALREADY)
            self._tell(Already(slot.job))
        else:
            # Only who has the claim knows the part's name.
            slot.part = self._part(slot.job)
            self._slots.on(slot, JobEvent.START)
            if self._downloads.is_connected and not slot.is_small:
                self._downloads.evict([slot])
        return admission is Admission.GO
