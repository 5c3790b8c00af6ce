"""Ends of spans and jobs: bytes are kept, sources are blamed, jobs are fetched or lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

from orchestrator.aria2.launch import crowded
from orchestrator.aria2.rpc import DownloadStatus
from orchestrator.errors import (
    CannotCreateError,
    DaemonError,
    DiskIOError,
    GlmAriaError,
    IntegrityError,
    NoSpaceError,
    TemporaryError,
)
from orchestrator.system.sleep import Sleep
from orchestrator.transfer.active import Slot, Slots
from orchestrator.transfer.codes import INSPECT, UNTOLD, Remedy, of_code
from orchestrator.transfer.couriers import Errand
from orchestrator.transfer.downloads import Downloads
from orchestrator.transfer.interface import Fetched, Lost, Paused, TakenBack, TransferEvent
from orchestrator.transfer.jobs import ENDS, JobEvent, JobState
from orchestrator.transfer.pace.silence import Silence
from orchestrator.transfer.spans import Span
from orchestrator.transfer.supply import Failure, Supplier, Supply, stand_ins

_LINE_SECONDS = 20.0  # while nothing comes from anywhere, the line is down, and no source is to blame
_IMPATIENCE_SECONDS = 2.0  # with a silent courier, when another source has the file
_PATIENCE_SECONDS = 10.0  # when there is none
_OURS = (NoSpaceError, CannotCreateError, DiskIOError)  # no source is to blame


class Endings:
    """Ends spans and jobs. A job ends once: spans of it that end later are only closed.

    `tell` is called with the outcome of each job. The spans are not among `downloads` any more when they come here.
    """

    def __init__(
        self, slots: Slots, supplier: Supplier, downloads: Downloads, tell: Callable[[TransferEvent], None]
    ) -> None:
        self._slots = slots
        self._supplier = supplier
        self._downloads = downloads
        self._tell = tell
        self._sleep = Sleep()

    def close(self, slot: Slot, span: Span) -> bool:
        """Keep what the span brought; False when that does not matter any more."""
        try:
            slot.close_span(span)
        except GlmAriaError as error:
            self.give_up(slot, error)
        return slot.state is JobState.ACTIVE

    def ended(self, slot: Slot, span: Span, status: DownloadStatus | None) -> None:
        """aria2 is done with the span. Without a status somebody took it out of its lists: the disk tells how far it
        came. Raises CrowdedError when the daemon is at fault."""
        if status is None:
            span.look_up()
        if not self.close(slot, span):
            return
        supply = slot.supplies[span.source]
        is_failed = status is not None and not (status.is_complete or status.is_removed)
        if status is not None and is_failed and not span.is_leaving:
            self._failed(slot, span, supply, status)
        elif span.has_gain:
            supply.succeed()
        elif not span.is_leaving:
            self._no_gain(slot, span, supply)

    def returned(self, slot: Slot, span: Span, errand: Errand) -> None:
        """A courier is back. A part that was not whole when it was stopped is asked for again, as any span."""
        error = errand.error
        if error is not None and not isinstance(error, GlmAriaError):
            raise error
        span.look(errand, time.monotonic())
        if isinstance(error, IntegrityError):
            if slot.state is JobState.ACTIVE:  # of one that has ended nothing is told any more
                self._tell(TakenBack(slot.job))
            span.position = span.start  # it sent more or less than is listed: none of it is kept
        if not self.close(slot, span):
            return
        supply = slot.supplies[span.source]
        supply.server.met(errand.latency)
        slot.proof = errand.proof
        # Of a small file nothing is kept until it is whole: a source that sends a part each time never gets further.
        if span.has_gain and not slot.is_small:
            supply.succeed()
        if isinstance(error, _OURS):
            self.give_up(slot, error)
        elif not span.is_leaving:
            self._supplier.returned(slot.supplies, supply, error)

    def due(self, now: float, active: Collection[tuple[Slot, Span]], *, slowest: float | None = None) -> Iterator[Span]:
        """The spans that shall end here, of `active` ones and those of couriers: their tail was taken over, or their
        source sends nothing, or too little. `slowest` is that of `Silence`."""
        servers = self._supplier.servers
        running = [*active, *self._downloads.carried.values()]
        others = {id(span): stand_ins(slot.supplies, slot.supplies[span.source], span.rest) for slot, span in running}
        compared = {
            id(span): [one.source for one in others[id(span)]]
            for slot, span in running
            if slot.supplies[span.source].reach is not None
        }
        silence = Silence(
            [span for _, span in active], servers, now, slowest=slowest, others=lambda span: compared.get(id(span))
        )
        has_slept = self._sleep.is_over()
        if has_slept:
            self._supplier.reconnect()
        for slot, span in running:
            supply, rivals = slot.supplies[span.source], others[id(span)]
            if span.is_leaving:
                continue
            if span.errand is not None:
                is_silent = self._is_late(span, span.errand, now, has_others=bool(rivals))
                if is_silent:
                    self._fail_silent(slot, span, now, has_others=bool(rivals))
            elif span.position >= span.end or not supply.has_all(span.rest):
                yield span
                continue
            elif is_silent := silence.is_over(span):
                self._blame(slot, span, silence, now, has_others=bool(rivals))
            all_rates = sum(one.server.rate for one in (supply, *rivals))
            is_hopeless = bool(rivals) and supply.server.is_hopeless(all_rates)
            if is_hopeless:
                supply.server.rest(now)
            if is_silent or has_slept or is_hopeless:
                yield span

    def _is_late(self, span: Span, errand: Errand, now: float, *, has_others: bool) -> bool:
        """True when a courier has been silent for too long. Where nobody stands in, it may be waiting as long as the
        server asks it to."""
        if not has_others and errand.latency is None:
            return False
        patience = _IMPATIENCE_SECONDS if has_others else _PATIENCE_SECONDS
        return now - max(span.moved, span.begun) > patience + self._supplier.servers[span.source].setup

    def _blame(self, slot: Slot, span: Span, silence: Silence, now: float, *, has_others: bool) -> None:
        """A span is silent: so are all of its source, or all of the run, or this one only."""
        supply = slot.supplies[span.source]
        self._supplier.reconnect()  # or who asks for addresses waits for an answer over a dead connection
        if not silence.holds(span.source):
            supply.server.starve(now, has_gain=span.has_gain)
        elif silence.is_everywhere(span) and now - self._supplier.line.moved < _LINE_SECONDS:
            supply.server.probe(now)
        else:
            self._fail_silent(slot, span, now, has_others=has_others)

    def _fail_silent(self, slot: Slot, span: Span, now: float, *, has_others: bool) -> None:
        supply = slot.supplies[span.source]
        if supply.reach is not None and not has_others:
            supply.server.probe(now)  # who else is to ask it decides who said that we alone may
            return
        words = f"{slot.job.name!r} from {span.source}: no data for {now - span.moved:.0f} s"
        silent = TemporaryError(words, file=slot.job.name, source=span.source,
                                hint="run it again later; arrived bytes are kept")  # fmt: skip
        supply.server.fail(silent, now, has_others=has_others)

    def complete(self) -> None:
        """End the jobs that have all their bytes, or all that is wanted of them. The last span need not be of this
        daemon, nor of this run: a run that was stopped just before this leaves a part that needs nothing more."""
        for slot in self._slots.of(JobState.LOCATING, JobState.ACTIVE):
            try:
                slot.forget_dropped()
                if slot.is_complete:
                    slot.record(now=True)  # it stays until the bytes are proven
                    self._slots.on(slot, JobEvent.COMPLETE)
                    self._tell(Fetched(slot.job, slot.part, slot.extents, slot.kept, slot.proof))
                elif slot.is_at_rest:
                    self.pause(slot)
            except GlmAriaError as error:
                self.give_up(slot, error)

    def unsupplied(self, slot: Slot, error: GlmAriaError) -> None:
        """Give up a job that no source serves, unless a run before this one brought all of it: then it is complete."""
        try:
            if not slot.prepare_whole():
                self.give_up(slot, error)
        except GlmAriaError as failure:
            self.give_up(slot, failure)

    def pause(self, slot: Slot) -> None:
        """End a job of which no span is open; what arrived stays for who wants it later."""
        slot.record(now=True)
        self._slots.on(slot, JobEvent.PAUSE)
        self._tell(Paused(slot.job, slot.extents))

    def give_up(self, slot: Slot, error: GlmAriaError) -> None:
        """No source can help, or the disk does not: what arrived stays for the next run. A job that has ended stays as
        it ended."""
        if slot.state in ENDS:
            return
        mine = [span for other, span in self._downloads.all() if other is slot and not span.is_leaving]
        if mine:
            with suppress(DaemonError):  # the next call notices that the daemon is lost
                self._downloads.leave(mine)
        slot.record(now=True)
        self._slots.on(slot, JobEvent.GIVE_UP)
        self._tell(Lost(slot.job, error))

    def _failed(self, slot: Slot, span: Span, supply: Supply, status: DownloadStatus) -> None:
        if self._downloads.is_crowded:
            raise crowded()
        code, message = status.error_code, status.error_message
        row = of_code(code, message, size=slot.job.size)
        detail = message.partition("URI=")[0].strip().rstrip(".")  # what follows may be a signed address
        words = f"aria2 error {code}: {detail}" if detail else f"error {code}"
        failure = Failure(slot.job, span.source, row, words, has_gain=span.has_gain)
        if span.has_gain:
            supply.succeed(span.position - span.start)
        if row.remedy is Remedy.STOP:
            self.give_up(slot, failure.error())
        elif supply.is_carried:
            return  # another span of it has shown why, and the file comes whole
        elif code in INSPECT and row.remedy is not Remedy.WAIT and span.position < span.end:
            self._supplier.inspect(supply, failure, span.position, span.end)
        else:
            self._supplier.failed(slot.supplies, supply, failure, row)

    def _no_gain(self, slot: Slot, span: Span, supply: Supply) -> None:
        """Handle a download without a byte or a reason: ask the source, and the second time blame the daemon."""
        detail = "it was removed from aria2, or aria2 forgot it, before a byte came"
        failure = Failure(slot.job, span.source, UNTOLD, detail)
        if span.start in supply.untold:
            error = failure.error()
            error.hint = (
                "something removes glm-aria's downloads from the aria2 that it was told to use: a front end, a script,"
                " or max-download-result=0. Stop that, or leave out --rpc"
            )
            self.give_up(slot, error)
        else:
            self._supplier.inspect(supply, failure, span.start, span.end)
