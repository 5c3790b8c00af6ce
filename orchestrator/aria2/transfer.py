"""The feeder: cuts jobs into spans, gives these to aria2 within a connection budget, and reports what became of each.

One thread calls `poll` in a loop; only addresses are asked for in other threads. What it returns are plain outcomes:
the caller verifies and places, this room only moves bytes. Nothing that it reports as fetched is believed by anybody.

Each round: admit jobs, take in addresses, give idle connections ranges, wait a moment, look at the spans.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.aria2.assign import Assigner, Opened
from orchestrator.aria2.budget import Budget
from orchestrator.aria2.codes import INSPECT, UNTOLD, Then, meaning
from orchestrator.aria2.couriers import Couriers, Errand
from orchestrator.aria2.interface import (
    Admission,
    Already,
    Endpoint,
    Fetched,
    Limits,
    Locator,
    Lost,
    Moved,
    Outcome,
    Pace,
    Rangeless,
)
from orchestrator.aria2.launch import CrowdedError
from orchestrator.aria2.options import span_options
from orchestrator.aria2.others import UnfitDaemonError, Watch
from orchestrator.aria2.rpc import Rpc, Status
from orchestrator.aria2.servers import Server
from orchestrator.aria2.slots import Slot, Slots
from orchestrator.aria2.spans import Span
from orchestrator.aria2.supply import Failure, Supplier, Supply
from orchestrator.aria2.throttle import Throttle
from orchestrator.core.files import Digest
from orchestrator.core.jobs import JobEvent, JobState
from orchestrator.core.plan import Job
from orchestrator.errors import (
    CannotCreateError,
    DaemonError,
    DiskIOError,
    GlmAriaError,
    IntegrityError,
    NoSpaceError,
    TemporaryError,
)

_OURS = (NoSpaceError, CannotCreateError, DiskIOError)  # no source is to blame
_RESTARTS = 5
_AHEAD = 2  # large files that have ranges to give out: the next begins before the one before it ends
_IMPATIENCE_SECONDS = 2.0  # with a silent connection, when another source can take its range
_PATIENCE_SECONDS = 10.0  # when there is none
_SLOW_BLOCKS = 4  # a connection that is slow anyway may be silent for as long as this many blocks take
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 3.0
_SHORTEST_POLL, _LONGEST_POLL = 0.02, 0.1


class Transfer:
    """Moves jobs through one daemon.

    `connect` gives the daemon's address, and starts it where it is ours; `restartable` says that it may be called again
    when the daemon died. `part` maps a job to its file in the staging folder; `admit` is asked before a job starts.
    `way` gives the `way_options` of a source by its name.
    """

    def __init__(
        self,
        connect: Callable[[], Endpoint],
        locator: Locator,
        *,
        part: Callable[[Job], Path],
        admit: Callable[[Job], Admission],
        limits: Limits,
        restartable: bool,
        way: Callable[[str], Mapping[str, str]] = lambda _source: {},
    ) -> None:
        self._connect = connect
        self._part = part
        self._admit = admit
        self._limits = limits
        self._is_ours = restartable
        self._restarts_left = _RESTARTS if restartable else 0
        self._way = way
        self._slots = Slots()
        self._supplier = Supplier(locator, limits)
        self._timeout = 5 if restartable else 15
        self._open_rpc: Rpc | None = None
        self._theirs: Watch | None = None
        self._spans: dict[str, tuple[Slot, Span]] = {}
        self._couriers = Couriers(locator, limits.budget)
        self._couriers.pacer.rate = limits.max_speed
        self._carried: dict[Errand, tuple[Slot, Span]] = {}
        self._throttle = Throttle(limits.max_speed) if limits.max_speed else None
        self._told = time.monotonic()

    def enqueue(self, jobs: Iterable[Job]) -> None:
        """Add jobs. They start in the order given, small ones beside big ones. A job that ended may be added again."""
        for job in jobs:
            self._slots.add(Slot(job, self._part(job)))

    def abandon(self, digests: Collection[Digest]) -> None:
        """Do not start these jobs; nothing is told of them."""
        self._slots.drop(digests)

    @property
    def is_idle(self) -> bool:
        """True when every job has ended."""
        return not self._slots

    @property
    def servers(self) -> tuple[Server, ...]:
        """What was learned about the sources."""
        return tuple(self._supplier.servers.values())

    def poll(self) -> list[Outcome]:
        """Start what may start, wait a moment, and tell what happened. Raises DaemonError when the daemon is lost."""
        outcomes: list[Outcome] = []
        self._admit_jobs(outcomes)
        self._supply(outcomes)
        if self._open_rpc is None and self._needs_daemon:
            # Only now: a daemon of our own starts while the first addresses are being asked for.
            self._open_rpc = Rpc(self._connect(), timeout=self._timeout)
            self._theirs = None if self._is_ours else Watch(self._open_rpc)
            self._evict(self._slots.of(JobState.LOCATING, JobState.ACTIVE))
        try:
            if self._theirs:
                outcomes += self._theirs.look(time.monotonic())
            self._assign(outcomes)
            time.sleep(self._pause())
            if self._spans or self._carried:
                self._watch(outcomes)
        except UnfitDaemonError:
            raise
        except DaemonError as error:
            self._reconnect(error)
        self._complete(outcomes)
        self._tell(outcomes)
        return outcomes

    def stop(self) -> None:
        """End all downloads of this run, keeping what they have for the next one. Never touches anyone else's."""
        self._supplier.close()
        self._couriers.close()
        active = self._slots.of(JobState.ACTIVE)
        deadline = time.monotonic() + _STOP_SECONDS
        try:
            self._leave(span for _, span in self._open_spans)
            for errand, (slot, span) in self._carried.items():
                span.look(errand, time.monotonic())
                slot.close_span(span)
            self._carried.clear()
            if self._open_rpc is None:
                return
            while self._spans and time.monotonic() < deadline:
                now, known = time.monotonic(), self._rpc.tell(list(self._spans))
                for gid in [gid for gid in self._spans if gid not in known or known[gid].is_stopped]:
                    slot, span = self._spans.pop(gid)
                    if gid in known:
                        span.see(known[gid], now)
                    else:
                        span.look_up()
                    slot.close_span(span)
                self._rpc.forget([gid for gid, status in known.items() if status.is_stopped])
        except GlmAriaError:
            pass  # a dead daemon, or disk, holds nothing; the journals of the last poll stand
        finally:
            for slot in active:
                slot.record(now=True)
            if self._open_rpc is not None:
                self._open_rpc.close()

    @property
    def _open_spans(self) -> list[tuple[Slot, Span]]:
        return [*self._spans.values(), *self._carried.values()]

    @property
    def _needs_daemon(self) -> bool:
        """True when there is, or may soon be, something that aria2 fetches."""
        return any(
            not supply.is_carried
            for slot in self._slots.of(JobState.LOCATING, JobState.ACTIVE)
            for supply in slot.supplies.values()
        )

    @property
    def _rpc(self) -> Rpc:
        if self._open_rpc is None:
            raise AssertionError("nothing was given to the daemon yet")
        return self._open_rpc

    # -- starting ------------------------------------------------------------------------------------------------------

    def _admit_jobs(self, outcomes: list[Outcome]) -> None:
        """Move jobs from WAITING to LOCATING as far as there is use for them."""
        now = time.monotonic()
        waiting = [slot for slot in self._slots.of(JobState.WAITING) if slot.not_before <= now]
        if not waiting:
            return
        running = self._slots.of(JobState.LOCATING, JobState.ACTIVE)
        small_room = self._budget.small_most - sum(slot.is_small for slot in running)
        big_room = _AHEAD - sum(not slot.is_small and self._is_hungry(slot) for slot in running)
        room = self._limits.jobs - len(running) if self._limits.jobs else len(waiting)
        for slot in waiting:
            if room <= 0 or (small_room <= 0 and big_room <= 0):
                return
            if (small_room if slot.is_small else big_room) > 0 and self._admit_one(slot, outcomes):
                room -= 1
                small_room -= slot.is_small
                big_room -= not slot.is_small

    def _is_hungry(self, slot: Slot) -> bool:
        """True when it has ranges that more connections could fetch."""
        if not slot.is_prepared:
            return True
        sources = sum(supply.error is None for supply in slot.supplies.values())
        most = self._limits.connections_per_mirror * max(1, sources)
        return bool(slot.unassigned()) and sum(span.width for span in slot.spans) < most

    def _admit_one(self, slot: Slot, outcomes: list[Outcome]) -> bool:
        admission = self._admit(slot.job)
        if admission is Admission.BUSY:
            slot.not_before = time.monotonic() + 0.2
        elif admission is Admission.ALREADY:
            self._slots.on(slot, JobEvent.ALREADY)
            outcomes.append(Already(slot.job))
        else:
            # Only who has the claim knows the part's name.
            slot.part = self._part(slot.job)
            self._slots.on(slot, JobEvent.START)
            if self._open_rpc is not None and not slot.is_small:
                self._evict([slot])
        return admission is Admission.GO

    def _evict(self, slots: Sequence[Slot]) -> None:
        """The claims on these parts are ours, so who writes to them is what a killed run left in a daemon that lives
        on."""
        if self._is_ours or not slots:
            return
        self._rpc.remove(self._rpc.writers(slot.part for slot in slots))

    def _supply(self, outcomes: list[Outcome]) -> None:
        """See to the addresses; a job that has one becomes ACTIVE."""
        for slot in self._slots.of(JobState.LOCATING, JobState.ACTIVE):
            if slot.is_small and slot.spans:
                continue  # one request, which is under way
            self._supplier.refresh(slot.job, slot.supplies)
            if slot.state is JobState.LOCATING and any(supply.is_located for supply in slot.supplies.values()):
                self._slots.on(slot, JobEvent.LOCATED)
            elif not slot.spans and (error := self._supplier.reason(slot.job, slot.supplies)):
                self._give_up(slot, error, outcomes)

    @property
    def _budget(self) -> Budget:
        slots = self._slots.of(JobState.WAITING, JobState.LOCATING, JobState.ACTIVE)
        big = [slot for slot in slots if not slot.is_small]
        used = sum(span.width for slot in big for span in slot.spans)
        return Budget.of(self._limits, has_big=bool(big), has_small=len(big) < len(slots), big_used=used)

    def _assign(self, outcomes: list[Outcome]) -> None:
        """Give idle connections ranges, in one request to aria2."""
        active = self._slots.of(JobState.ACTIVE)
        assigner = Assigner(active, self._budget, self._limits)
        opened: list[Opened] = []
        for slot in active:
            try:
                opened += assigner.assign(slot)
            except GlmAriaError as error:
                self._give_up(slot, error, outcomes)
        self._leave(assigner.leaving)
        for slot, span, uri in opened:
            if uri is None:
                span.errand = self._couriers.send(slot.job, span.source, slot.part, span.start, span.end)
                self._carried[span.errand] = slot, span
        asked = [(slot, span, uri) for slot, span, uri in opened if uri is not None]
        if not asked:
            return
        gids = self._rpc.add(
            [
                (span, uri.url, span_options(span, self._way(span.source), is_ours=self._is_ours))
                for _, span, uri in asked
            ]
        )
        for (slot, span, _), answer in zip(asked, gids, strict=True):
            if isinstance(answer, DaemonError):
                slot.close_span(span)
                self._give_up(slot, answer, outcomes)
            else:
                span.gid = answer
                self._spans[answer] = (slot, span)

    def _pause(self) -> float:
        """Seconds until something is likely to happen: a connection that ends should not be idle for long."""
        spans = [span for _, span in self._open_spans]
        if not self._spans or any(span.is_leaving for span in spans):
            return _SHORTEST_POLL
        return min(max(_SHORTEST_POLL, min(span.seconds_left for span in spans) / 2), _LONGEST_POLL)

    # -- watching ------------------------------------------------------------------------------------------------------

    def _watch(self, outcomes: list[Outcome]) -> None:
        now = time.monotonic()
        fresh: dict[str, int] = dict.fromkeys(self._supplier.servers, 0)
        for errand, (_, span) in self._carried.items():
            fresh[span.source] += span.look(errand, now)
        gids = list(self._spans)
        known = self._rpc.tell(gids, with_bitfield=self._budget.width > 1) if gids else {}
        for gid, status in known.items():
            span = self._spans[gid][1]
            fresh[span.source] += span.see(status, now)
            if not (status.is_active or status.is_stopped):
                span.begun = now  # it is queued or paused, and its source cannot be blamed for that
        for name, server in self._supplier.servers.items():
            count = sum(span.width for _, span in self._open_spans if span.source == name)
            server.observe(now, fresh[name], count)
        gone = [gid for gid in self._spans if gid not in known]
        ended = [status for status in known.values() if status.is_stopped]
        for status in ended:
            self._ended(*self._spans.pop(status.gid), status, outcomes)
        if ended:
            self._rpc.forget([status.gid for status in ended])
        for gid in gone:
            self._vanished(*self._spans.pop(gid), outcomes)
        for errand in [errand for errand in self._carried if errand.future.done() or errand.is_stopped]:
            self._returned(*self._carried.pop(errand), errand, outcomes)
        moving = [found for gid, found in self._spans.items() if known[gid].is_active]
        self._leave(span for slot, span in (*moving, *self._carried.values()) if self._is_over(slot, span, now))
        if self._theirs:
            outcomes += self._theirs.holdup([known[gid] for gid in self._spans], sum(fresh.values()), now)
        self._report(outcomes)
        self._hold_speed(now)

    def _is_over(self, slot: Slot, span: Span, now: float) -> bool:
        """True when the span shall end here: its tail was taken over, or its source sends nothing, or too little."""
        if span.is_leaving:
            return False
        supply = slot.supplies[span.source]
        has_others = self._supplier.has_others(slot.supplies, supply)
        is_done = span.position >= span.end and span.errand is None
        if span.errand is not None and span.errand.latency is None and not has_others:
            return False  # it may be waiting as long as the server asks it to
        patience = _IMPATIENCE_SECONDS if has_others else _PATIENCE_SECONDS
        slowest = (self._theirs.rate_each if self._theirs else None) or span.rate
        if span.rate and slowest:
            patience = max(patience, _SLOW_BLOCKS * span.block / min(span.rate, slowest))
        if not is_done and now - max(span.moved, span.begun) > patience + supply.server.setup:
            name = f"{slot.job.name!r} from {span.source}"
            silent = TemporaryError(f"{name}: nothing came for {now - span.moved:.0f} s", file=slot.job.name,
                                    source=span.source, hint="run it again later; what arrived is kept")  # fmt: skip
            supply.server.fail(silent, now, has_others=has_others)
            return True
        return is_done or (has_others and supply.server.is_hopeless(sum(s.rate for s in self.servers)))

    def _leave(self, spans: Iterable[Span]) -> None:
        """Tell aria2 to stop these; they count as active until it says that they are."""
        gids = []
        for span in spans:
            span.is_leaving = True
            if span.errand is None:
                gids.append(span.gid)
            else:
                span.errand.stop()
        if gids:
            self._rpc.stop(gids)

    def _ended(self, slot: Slot, span: Span, status: Status, outcomes: list[Outcome]) -> None:
        supply = slot.supplies[span.source]
        if not self._close(slot, span, outcomes):
            return
        if span.has_gain and (span.is_leaving or status.is_complete or status.is_removed):
            supply.succeed()
        elif span.is_leaving:
            pass
        elif status.is_complete or status.is_removed:
            self._no_gain(slot, span, supply, outcomes)
        else:
            self._failed(slot, span, supply, status, outcomes)

    def _close(self, slot: Slot, span: Span, outcomes: list[Outcome]) -> bool:
        """Keep what the span brought; False when that does not matter any more."""
        try:
            slot.close_span(span)
        except GlmAriaError as error:
            self._give_up(slot, error, outcomes)
        return slot.state is JobState.ACTIVE

    def _returned(self, slot: Slot, span: Span, errand: Errand, outcomes: list[Outcome]) -> None:
        """A courier is back. A part that was not whole when it was stopped is asked for again, as any span."""
        supply = slot.supplies[span.source]
        is_back = not errand.future.cancel() and errand.future.done()
        error = errand.future.exception() if is_back else None
        if error is not None and not isinstance(error, GlmAriaError):
            raise error
        span.look(errand, time.monotonic())
        if isinstance(error, IntegrityError):
            span.position = span.start  # it sent more or less than is listed: none of it is kept
        try:
            slot.close_span(span)
        except GlmAriaError as at_close:
            error = at_close
        if slot.state is not JobState.ACTIVE:
            return
        supply.server.met(errand.latency)
        if span.position > span.start:
            supply.succeed()
        if isinstance(error, _OURS):
            self._give_up(slot, error, outcomes)
        elif not span.is_leaving:
            self._supplier.returned(slot.supplies, supply, error)

    def _failed(self, slot: Slot, span: Span, supply: Supply, status: Status, outcomes: list[Outcome]) -> None:
        if self._is_crowded():
            raise CrowdedError
        code, message = status.error_code, status.error_message
        row = meaning(code, message, size=slot.job.size)
        detail = message.partition("URI=")[0].strip().rstrip(".")  # what follows may be a signed address
        failure = Failure(slot.job, span.source, row, f"aria2 error {code}: {detail}" if detail else f"error {code}")
        if span.position > span.start:
            supply.succeed()
        if row.then is Then.STOP:
            self._give_up(slot, failure.error(), outcomes)
        elif code in INSPECT and row.then is not Then.WAIT and span.position < span.end:
            self._supplier.inspect(supply, failure, span.position, span.end)
        else:
            self._supplier.failed(slot.supplies, supply, failure, row)

    def _vanished(self, slot: Slot, span: Span, outcomes: list[Outcome]) -> None:
        """Somebody took a download of ours out of the daemon's lists: the disk tells how far it came."""
        span.look_up()
        supply = slot.supplies[span.source]
        if not self._close(slot, span, outcomes):
            return
        if span.has_gain:
            supply.succeed()
        elif not span.is_leaving:
            self._no_gain(slot, span, supply, outcomes)

    def _no_gain(self, slot: Slot, span: Span, supply: Supply, outcomes: list[Outcome]) -> None:
        """Nothing came, and the daemon does not tell why: ask the source, and the second time blame the daemon."""
        detail = "it was removed from aria2, or aria2 forgot it, before a byte came"
        failure = Failure(slot.job, span.source, UNTOLD, detail)
        if span.start in supply.untold:
            error = failure.error()
            error.hint = (
                "something removes glm-aria's downloads from the aria2 that it was told to use: a front end, a script,"
                " or max-download-result=0. Stop that, or leave out --rpc"
            )
            self._give_up(slot, error, outcomes)
        else:
            self._supplier.inspect(supply, failure, span.start, span.end)

    def _report(self, outcomes: list[Outcome]) -> None:
        for slot in self._slots.of(JobState.ACTIVE):
            if slot.spans:
                slot.record()
                arrived = slot.arrived()
                speed = sum(span.rate for span in slot.spans)
                connections = sum(span.connections for span in slot.spans)
                outcomes.append(Moved(slot.job, arrived.total, arrived.prefix, round(speed), connections))

    def _hold_speed(self, now: float) -> None:
        """Hold `max_speed`: with the daemon's own limit where it is ours, else download by download."""
        if self._throttle is None:
            return
        most = self._throttle.limit
        self._couriers.pacer.rate = most / 2 if self._spans else float(most)
        told = self._throttle.next(now, sum(server.bytes for server in self.servers))
        if told is None or not self._spans:
            return
        # What couriers take, aria2 has to leave.
        told -= round(min(most / 2, sum(span.rate for _, span in self._carried.values())))
        if self._is_ours:
            self._rpc.limit_all(told)
        else:
            limit = {"max-download-limit": str(max(1024, told // max(1, len(self._spans))))}
            self._rpc.change_options((gid, limit) for gid in self._spans)

    def _tell(self, outcomes: list[Outcome]) -> None:
        outcomes += [Rangeless(*found) for found in self._supplier.rangeless]
        self._supplier.rangeless.clear()
        now = time.monotonic()
        if now - self._told < _LOOK_SECONDS:
            return
        self._told = now
        open_now = [span for _, span in self._open_spans]
        outcomes.append(
            Pace(
                tuple(
                    (server.name, server.rate, sum(span.width for span in open_now if span.source == server.name))
                    for server in self.servers
                )
            )
        )

    # -- ending --------------------------------------------------------------------------------------------------------

    def _complete(self, outcomes: list[Outcome]) -> None:
        """End the jobs that have all their bytes. The last span need not be of this daemon, nor of this run: a run that
        was stopped just before this leaves a part that needs nothing more."""
        for slot in self._slots.of(JobState.ACTIVE):
            if slot.is_complete:
                try:
                    sent = slot.finish()
                except GlmAriaError as error:
                    self._give_up(slot, error, outcomes)
                    continue
                self._slots.on(slot, JobEvent.COMPLETE)
                outcomes.append(Fetched(slot.job, slot.part, sent, slot.kept))

    def _give_up(self, slot: Slot, error: GlmAriaError, outcomes: list[Outcome]) -> None:
        """No source can help, or the disk does not: what arrived stays for the next run."""
        mine = [span for other, span in self._open_spans if other is slot and not span.is_leaving]
        if mine:
            with suppress(DaemonError):  # the next call notices that the daemon is lost
                self._leave(mine)
        slot.record(now=True)
        self._slots.on(slot, JobEvent.GIVE_UP)
        outcomes.append(Lost(slot.job, error))

    def _is_crowded(self) -> bool:
        """Any user may hold connections to the port of our daemon; then it can open neither files nor connections."""
        listener = self._rpc.endpoint.listener
        return self._is_ours and listener is not None and listener.is_crowded

    def _reconnect(self, error: DaemonError) -> None:
        """The daemon is lost: start it again and continue all from what arrived, or say that it is gone."""
        if self._restarts_left <= 0 and (isinstance(error, CrowdedError) or self._is_crowded()):
            raise CrowdedError from error
        if self._restarts_left <= 0:
            raise DaemonError(
                "the aria2 daemon stopped answering during the transfer", hint="start it again and run the same command"
            ) from error
        self._restarts_left -= 1
        self._rpc.close()
        self._open_rpc = Rpc(self._connect(), timeout=self._timeout)
        for slot in self._slots.of(JobState.ACTIVE):
            for span in [span for span in slot.spans if span.errand is None]:
                slot.close_span(span)
        self._spans.clear()
