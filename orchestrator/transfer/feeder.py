"""The feeder: cuts jobs into spans, has them fetched within a connection budget, and reports what became of each job.

One thread calls `poll` whenever it is due, and waits as it likes meanwhile; other threads ask for addresses and fetch
small files. It tells plain outcomes: the caller verifies and places, this room only moves bytes. Nobody believes what
it reports as fetched.

Each round: look at the spans, admit jobs, take in addresses, give idle connections ranges.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.aria2.others import DaemonWatch, UnfitDaemonError
from orchestrator.core.extents import Ranges
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.errors import DaemonError, GlmAriaError
from orchestrator.system.threads import KeyedPools, MakePool, Pool
from orchestrator.transfer.active import Slot, Slots
from orchestrator.transfer.admitter import BUSY_SECONDS, Admitter
from orchestrator.transfer.assign import Assigner, Opened
from orchestrator.transfer.couriers import MOST_THREADS, Couriers
from orchestrator.transfer.downloads import Downloads
from orchestrator.transfer.endings import Endings
from orchestrator.transfer.interface import (
    Admission,
    Locator,
    Moved,
    Need,
    Pace,
    Rangeless,
    TakenBack,
    TransferEvent,
)
from orchestrator.transfer.jobs import JobEvent, JobState
from orchestrator.transfer.limits import START, TransferLimits
from orchestrator.transfer.pace.paths import Paths
from orchestrator.transfer.pace.servers import Server
from orchestrator.transfer.supply import ASKERS, Supplier

_LOOK_SECONDS = 1.0
_STOP_SECONDS = 3.0
_FIRST_SECONDS = 1.0
"""Seconds in which the first bytes of a connection are likely to come."""
_SHORTEST_POLL, _LONGEST_POLL = 0.02, 0.1


class Feeder:
    """Moves jobs through one daemon.

    `connect` gives the daemon's address, and starts it where it is ours; `restartable` says that it may be called again
    when the daemon died. `part` maps a job to its file in the staging folder; `admit` is asked before a job starts,
    which is lost if that raises GlmAriaError. `tell` is called with each outcome, by the thread that polls; `wake` by
    any thread, when `poll` is due sooner than it said. `way` gives the `way_options` of a source by its name, `begin`
    the connections that a far one begins with; `make_pool` makes the pools of threads.
    """

    def __init__(  # noqa: PLR0913 - a daemon, bounds, and what it asks and tells
        self,
        connect: Callable[[], Endpoint],
        locator: Locator,
        *,
        part: Callable[[Job], Path],
        admit: Callable[[Job], Admission],
        tell: Callable[[TransferEvent], None],
        wake: Callable[[], None],
        limits: TransferLimits,
        restartable: bool,
        way: Callable[[str], Mapping[str, str]] = lambda _source: {},
        begin: Callable[[str], int] = lambda _source: START,
        make_pool: MakePool = Pool,
    ) -> None:
        self._part = part
        self._tell = tell
        self._wake = wake
        self._limits = limits
        self._slots = Slots()
        self._supplier = Supplier(locator, limits, KeyedPools(make_pool, ASKERS, "links", self.stir), begin)
        couriers = Couriers(locator, make_pool, min(limits.per_source, MOST_THREADS), self.stir)
        self._downloads = Downloads(connect, couriers, limits, is_ours=restartable, way=way)
        self._paths = Paths(self._downloads.paths, time.monotonic)
        self._endings = Endings(self._slots, self._supplier, self._downloads, tell)
        self._admitter = Admitter(self._slots, self._downloads, limits, part=part, admit=admit, tell=tell)
        self._theirs: DaemonWatch | None = None
        self._paced = self._polled = time.monotonic()
        self._sent: tuple[tuple[str, int], ...] = ()
        self._due = 0.0
        self._is_stirred = False

    def want(self, job: Job, need: Need) -> None:
        """Have this fetched of a job, in the place of what was wanted of it before; one that ended begins again.

        Jobs start in the order given, small ones beside big ones; those that somebody waits for before all others.
        """
        slot = self._slots.get(job.digest)
        if slot is None:
            slot = Slot(job, self._part(job))
            self._slots.add(slot)
        slot.want(need)
        if need.first:
            self._slots.hurry(slot)
        self._hasten()

    def has(self, digest: Digest) -> bool:
        """True while a job is under way."""
        return self._slots.get(digest) is not None

    def pause(self, digest: Digest) -> None:
        """End a job that nobody wants any more: it is told as Paused once its spans are closed, or as Fetched if it has
        all its bytes by then, unless it is wanted again before. Fine when it is not under way."""
        slot = self._slots.get(digest)
        if slot is None:
            return
        if slot.state is JobState.WAITING:
            self._endings.pause(slot)
        else:
            slot.is_pausing = True
            self._hasten()

    def drop(self, digest: Digest, ranges: Ranges) -> bool:
        """Take bytes of a job back, to be fetched again; False when it has no part that could have them.

        The spans that may write there are stopped first. The bytes are forgotten once aria2 has closed them, and only
        then are the ranges given out again.
        """
        slot = self._slots.get(digest)
        if slot is None or not slot.is_prepared:
            return False
        slot.drop(ranges)
        self._tell(TakenBack(slot.job, slot.dropping))
        self._hasten()
        return True

    def stir(self) -> None:
        """Look soon what the sources may be asked for now: a reach has grown, say. For any thread, at any time."""
        if not self._is_stirred:
            self._is_stirred = True
            if not 0 < self._due - time.monotonic() <= _SHORTEST_POLL:
                self._wake()

    def forgive(self) -> None:
        """Try the sources again that were given up."""
        for server in self.servers:
            server.forgive()

    def abandon(self, digests: Collection[Digest]) -> set[Digest]:
        """Do not start these jobs; returns those that had not been, of which nothing is told any more."""
        return self._slots.drop(digests)

    @property
    def is_idle(self) -> bool:
        """True when every job has ended."""
        return not self._slots

    @property
    def is_ours(self) -> bool:
        """True when the daemon is one of ours, whose global options we know."""
        return self._downloads.is_ours

    @property
    def servers(self) -> tuple[Server, ...]:
        """The measurements of the sources."""
        return tuple(self._supplier.servers.values())

    @property
    def family(self) -> int:
        """The address family that most connections to sources use, 4 or 6; 0 where that is unknown."""
        return self._paths.family

    def poll(self) -> float:
        """Tell what happened and start what may start, if it is time for that. Returns when it will be, in monotonic
        seconds: infinite when nothing is under way. Raises DaemonError when the daemon is lost."""
        if self._is_stirred:
            self._is_stirred = False
            self._hasten()
        if time.monotonic() < self._due:
            return self._due
        with self._reconnecting():
            if self._downloads.all():
                self._watch()
        self._endings.complete()
        self._tell_sources()
        self._start()
        self._polled = time.monotonic()
        is_over = self.is_idle and not self._downloads.all()
        self._due = math.inf if is_over else self._polled + self._pause()
        return self._due

    def _hasten(self) -> None:
        self._due = min(self._due, self._polled + _SHORTEST_POLL)

    def _start(self) -> None:
        self._admitter.admit()
        self._supply()
        if not self._downloads.is_connected and self._needs_daemon:
            # Only now: a daemon of our own starts while the first addresses are being asked for.
            self._downloads.connect()
            self._theirs = None if self._downloads.is_ours else DaemonWatch(self._downloads.rpc)
            self._downloads.evict(self._slots.of(JobState.LOCATING, JobState.ACTIVE))
        with self._reconnecting():
            if self._theirs:
                self._tell_all(self._theirs.look(time.monotonic()))
            self._assign()

    def stop(self) -> None:
        """End all downloads of this run, keeping what they have for the next one. Never touches anyone else's."""
        self._supplier.close()
        active = self._slots.of(JobState.ACTIVE)
        try:
            self._downloads.end(time.monotonic() + _STOP_SECONDS)
        except GlmAriaError:
            pass  # a dead daemon, or disk, holds nothing; the journals of the last poll stand
        finally:
            for slot in active:
                slot.record(now=True)
            self._downloads.close()

    @property
    def _needs_daemon(self) -> bool:
        """True when there is, or may soon be, something that aria2 fetches."""
        return any(
            not supply.is_carried
            for slot in self._slots.of(JobState.LOCATING, JobState.ACTIVE)
            for supply in slot.supplies.values()
        )

    # -- starting ------------------------------------------------------------------------------------------------------

    def _supply(self) -> None:
        """See to the addresses; a job that has one becomes ACTIVE."""
        for slot in self._slots.of(JobState.LOCATING, JobState.ACTIVE):
            if (slot.is_small and slot.spans) or slot.is_pausing:
                continue  # it is one request, which is under way, or nothing is to be asked for
            self._supplier.refresh(slot.job, slot.supplies)
            if slot.state is JobState.LOCATING and any(supply.is_located for supply in slot.supplies.values()):
                self._slots.on(slot, JobEvent.LOCATED)
            elif (error := self._supplier.reason(slot.job, slot.supplies, slot.starved)) and not slot.spans:
                self._endings.unsupplied(slot, error)

    def _assign(self) -> None:
        """Give idle connections ranges, in one request to aria2. Jobs that somebody waits for come first."""
        active = sorted(self._slots.of(JobState.ACTIVE), key=lambda slot: not slot.need.first)
        self._downloads.leave([span for slot in active for span in slot.in_the_way()])
        assigner = Assigner(active, self._admitter.budget, self._limits, self._supplier.pick)
        opened: list[Opened] = []
        for step, slot in itertools.product(("awaited", "ranges", "tails"), active):
            if slot.state is not JobState.ACTIVE or (step == "awaited" and not slot.need.first):
                continue
            try:
                opened += assigner.assign(slot, awaited=step == "awaited", tails=step == "tails")
            except GlmAriaError as error:
                self._endings.give_up(slot, error)
        for slot in active:
            assigner.make_way(slot, active)
        self._downloads.leave(assigner.leaving)
        for slot, span, _ in opened:
            if slot.state is not JobState.ACTIVE:  # it was given up over one span, and the others shall not begin
                self._endings.close(slot, span)
        begun = [one for one in opened if one[0].state is JobState.ACTIVE]
        for slot, span, refusal in self._downloads.begin(begun):
            if self._endings.close(slot, span):
                self._endings.give_up(slot, refusal)

    def _pause(self) -> float:
        """Seconds until something is likely to happen: a connection that ends should not be idle for long."""
        running = self._downloads.all()
        spans = [span for _, span in running]
        if not spans and not any(slot.is_hungry for slot in self._slots.of(JobState.LOCATING, JobState.ACTIVE)):
            return BUSY_SECONDS  # all that is wanted is being fetched by others
        if not self._downloads.spans or any(span.is_leaving for span in spans):
            return _SHORTEST_POLL
        soon = time.monotonic() - _FIRST_SECONDS
        if any(slot.need.first and span.position == span.start and span.begun > soon for slot, span in running):
            return _SHORTEST_POLL  # somebody waits for the first bytes
        # One that has brought nothing yet goes as fast as others of its source; where there are none, it may end soon.
        rates = [(span.left, span.rate or self._supplier.servers[span.source].each) for span in spans]
        return min(max(_SHORTEST_POLL, min(left / each if each else 0.0 for left, each in rates) / 2), _LONGEST_POLL)

    # -- watching ------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        spans, carried = self._downloads.spans, self._downloads.carried
        now, known, fresh = self._downloads.look(self._supplier.servers)
        self._paths.look()
        self._supplier.line.hear(now, self._paths.round_trip, self._paths.signs)
        is_hungry = any(
            not slot.is_small and self._admitter.is_hungry(slot) for slot in self._slots.of(JobState.ACTIVE)
        )
        most = self._admitter.budget.big_most if is_hungry else 0
        self._supplier.observe(now, fresh, [span for _, span in self._downloads.all()], most)
        gone = [gid for gid in spans if gid not in known]
        ended = [gid for gid, status in known.items() if status.is_stopped]
        for gid in ended:
            self._endings.ended(*spans.pop(gid), known[gid])
        if ended:
            self._downloads.rpc.forget(ended)
        for gid in gone:
            self._endings.ended(*spans.pop(gid), None)
        for errand in [errand for errand in carried if errand.is_done or errand.is_stopped]:
            self._endings.returned(*carried.pop(errand), errand)
        active = [found for gid, found in spans.items() if known[gid].is_active]
        self._downloads.leave(self._endings.due(now, active, slowest=self._theirs.rate_each if self._theirs else None))
        if self._theirs:
            self._tell_all(self._theirs.holdup([known[gid] for gid in spans], sum(fresh.values()), now))
        self._report()
        self._downloads.hold_speed(now, sum(server.bytes for server in self.servers))

    @contextmanager
    def _reconnecting(self) -> Iterator[None]:
        """If the daemon is lost inside: start it again and continue all from what arrived, or say that it is gone."""
        try:
            yield
        except UnfitDaemonError:
            raise
        except DaemonError as error:
            self._downloads.reconnect(error)
            for slot in self._slots.of(JobState.ACTIVE):
                for span in [span for span in slot.spans if span.errand is None]:
                    self._endings.close(slot, span)

    def _report(self) -> None:
        for slot in self._slots.of(JobState.ACTIVE):
            if slot.record(now=not slot.spans) or slot.spans:
                arrived = slot.arrived()
                speed, connections = slot.pace
                if connections or arrived.total or not slot.is_small:  # hundreds wait for an answer, or their turn
                    self._tell(Moved(slot.job, arrived, round(speed), connections, slot.kept))

    def _tell_all(self, outcomes: Iterable[TransferEvent]) -> None:
        for outcome in outcomes:
            self._tell(outcome)

    def _tell_sources(self) -> None:
        self._tell_all(Rangeless(*found) for found in self._supplier.rangeless)
        self._supplier.rangeless.clear()
        now, sent = time.monotonic(), tuple((server.name, server.bytes) for server in self.servers)
        is_last = self.is_idle and sent != self._sent
        if now - self._paced < _LOOK_SECONDS and not is_last:
            return
        self._paced, self._sent = now, sent
        open_now = [span for _, span in self._downloads.all()]
        widths = {name: sum(span.width for span in open_now if span.source == name) for name, _ in sent}
        self._tell(Pace(tuple((server.name, server.rate, widths[server.name]) for server in self.servers), sent))
