"""The feeder: gives jobs to aria2 within a connection budget, watches them, and reports what became of each.

One thread calls `poll` in a loop; only links are resolved in other threads. What it returns are plain outcomes: the
caller verifies and places, this room only moves bytes. Nothing that it reports as fetched is believed by anybody.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.aria2 import journal
from orchestrator.aria2.budget import SMALL, Budget
from orchestrator.aria2.codes import Then, meaning
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
)
from orchestrator.aria2.options import allocation_for, download_options
from orchestrator.aria2.rpc import Rpc, Status
from orchestrator.aria2.slots import Slot, Slots
from orchestrator.core.jobs import JobEvent, JobState
from orchestrator.core.plan import Job
from orchestrator.errors import DaemonError, GlmAriaError, IntegrityError

_TRIES = 5
_RESTARTS = 5
# One connection to a near server brings the file in order, so that hashing keeps up and is done with the last byte;
# several leave the hash for the end (4 GiB on loopback: 7.3 s instead of 10.7 s). Where one is not fast, they are worth
# more than that.
_FAST = 150 << 20  # bytes/s
_TRIAL_SECONDS = 0.7
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 3.0
_POLL_SMALL, _POLL_BIG = 0.03, 0.1
_RESTART_CODES = frozenset({8, 10})  # the part cannot be continued: begin it anew
_TWICE = 13  # another download in the daemon writes to the same part


class Transfer:
    """Moves jobs through one daemon.

    `connect` gives the daemon's address, and starts it where it is ours; `restartable` says that it may be called again
    when the daemon died. `part` maps a job to its file in the staging folder; `admit` is asked before a job starts.
    """

    def __init__(
        self,
        connect: Callable[[], Endpoint],
        locator: Locator,
        *,
        part: Callable[[Job], Path],
        admit: Callable[[Job], Admission],
        limits: Limits,
        staging: Path,
        restartable: bool,
        proxy: str | None = None,
    ) -> None:
        self._connect = connect
        self._locator = locator
        self._part = part
        self._admit = admit
        self._limits = limits
        self._restarts_left = _RESTARTS if restartable else 0
        self._proxy = proxy
        self._slots = Slots()
        self._allocation = allocation_for(staging)
        self._timeout = 5 if restartable else 15
        self._open_rpc: Rpc | None = None
        self._resolvers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="links")
        self._looked = self._shared_at = self._polled = time.monotonic()

    def enqueue(self, jobs: Iterable[Job]) -> None:
        """Add jobs. They start in the order given, small ones beside big ones. A job that ended may be added again."""
        for job in jobs:
            self._slots.add(Slot(job, self._part(job)))

    @property
    def is_idle(self) -> bool:
        """True when every job has ended."""
        return not self._slots

    def poll(self) -> list[Outcome]:
        """Start what may start, wait a moment, and tell what happened. Raises DaemonError when the daemon is lost."""
        outcomes: list[Outcome] = []
        self._fill(outcomes)
        if self._open_rpc is None:
            # Only now: a daemon of our own starts while the first links are being resolved.
            self._open_rpc = Rpc(self._connect(), timeout=self._timeout)
        self._submit(outcomes)
        active = self._slots.of(JobState.ACTIVE)
        time.sleep(_POLL_SMALL if not active or any(slot.is_small for slot in active) else _POLL_BIG)
        if not active:
            return outcomes
        try:
            self._watch(outcomes)
        except DaemonError:
            self._reconnect()
        return outcomes

    def stop(self) -> None:
        """End all downloads of this run, keeping what they have for the next one. Never touches anyone else's."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)
        if self._open_rpc is None:
            return
        slots = {slot.gid: slot for slot in self._slots.of(JobState.ACTIVE)}
        try:
            if slots:
                self._rpc.pause(list(slots))
                for gid, status in self._rpc.tell(list(slots)).items():
                    slots[gid].record(status, now=True)
                self._rpc.remove(list(slots))
                deadline = time.monotonic() + _STOP_SECONDS
                while (left := self._rpc.tell(list(slots))) and time.monotonic() < deadline:
                    self._rpc.forget(list(left))
                    time.sleep(0.02)
        except DaemonError:
            pass  # a dead daemon holds nothing; the journals of the last poll stand
        self._rpc.close()

    @property
    def _rpc(self) -> Rpc:
        if self._open_rpc is None:
            raise AssertionError("nothing was given to the daemon yet")
        return self._open_rpc

    # -- starting ------------------------------------------------------------------------------------------------------

    def _fill(self, outcomes: list[Outcome]) -> None:
        """Move jobs from WAITING to LOCATING as far as the budget allows."""
        now = time.monotonic()
        waiting = [slot for slot in self._slots.of(JobState.WAITING) if slot.not_before <= now]
        if not waiting:
            return
        running = self._slots.of(JobState.LOCATING) + self._slots.of(JobState.ACTIVE)
        budget = Budget.of(
            self._limits, [(slot.job.size, slot.connections) for slot in running], [slot.job.size for slot in waiting]
        )
        for slot in waiting:
            if budget.is_spent:
                break
            connections = budget.offer(slot.job.size)
            if connections and self._start(slot, outcomes):
                slot.connections = connections
                budget.take(slot.job.size, connections)

    def _start(self, slot: Slot, outcomes: list[Outcome]) -> bool:
        admission = self._admit(slot.job)
        if admission is Admission.BUSY:
            slot.not_before = time.monotonic() + 0.2
            return False
        if admission is Admission.ALREADY:
            self._slots.on(slot, JobEvent.ALREADY)
            outcomes.append(Already(slot.job))
            return False
        self._slots.on(slot, JobEvent.START)
        try:
            direct = None if slot.must_ask else self._locator.direct(slot.job)
        except GlmAriaError as error:
            self._broken(slot, error, outcomes)
            return False
        if direct:
            slot.uris = direct
        else:
            slot.future = self._resolvers.submit(self._locator.locate, slot.job)
        return True

    def _submit(self, outcomes: list[Outcome]) -> None:
        """Move jobs whose links are known from LOCATING to ACTIVE, in one request to aria2."""
        ready: list[Slot] = []
        for slot in self._slots.of(JobState.LOCATING):
            if slot.future is not None:
                if not slot.future.done():
                    continue
                future, slot.future = slot.future, None
                try:
                    slot.uris = future.result()
                except GlmAriaError as error:
                    self._broken(slot, error, outcomes)
                    continue
            ready.append(slot)
        if not ready:
            return
        prepared: list[Slot] = []
        downloads = []
        for slot in ready:
            try:
                slot.prepare()
            except GlmAriaError as error:
                self._broken(slot, error, outcomes, then=Then.STOP)
                continue
            slot.connections = min(slot.connections, self._limits.connections_per_mirror * len(slot.uris))
            slot.is_trial = slot.is_trial is None and slot.is_near
            slot.gid, slot.status, slot.seen = secrets.token_hex(8), None, time.monotonic()
            slot.started = slot.seen
            options = download_options(
                slot.part,
                slot.gid,
                size=slot.job.size,
                connections=1 if slot.is_trial else slot.connections,
                per_server=self._limits.connections_per_mirror,
                allocation=self._allocation,
                proxy=self._proxy,
            )
            prepared.append(slot)
            downloads.append(([uri.url for uri in slot.uris], options))
        if not prepared:
            return
        try:
            answers = self._rpc.add_all(downloads)
        except DaemonError:
            for slot in prepared:
                self._slots.on(slot, JobEvent.BROKEN)
            self._reconnect()
            return
        for slot, refused in zip(prepared, answers, strict=True):
            if refused:
                self._broken(slot, refused, outcomes, then=Then.STOP)
            else:
                self._slots.on(slot, JobEvent.LOCATED)

    # -- watching ------------------------------------------------------------------------------------------------------

    def _watch(self, outcomes: list[Outcome]) -> None:
        now = time.monotonic()
        active, stopped = self._rpc.poll()
        slots = {slot.gid: slot for slot in self._slots.of(JobState.ACTIVE)}
        shared = [gid for gid, slot in slots.items() if slot.status and len(slot.uris) > 1]
        for gid, speeds in self._rpc.servers(shared).items():
            slots[gid].weigh(speeds, now - self._polled)
        self._polled = now
        ended = [status for status in stopped if status.gid in slots]
        for status in active:
            if status.gid in slots:
                self._moved(slots[status.gid], status, now, outcomes)
        for status in ended:
            self._ended(slots[status.gid], status, outcomes)
        self._rpc.forget([status.gid for status in ended])
        self._look_for_missing(slots, now, outcomes)
        self._share_speed(active, slots, now)

    def _moved(self, slot: Slot, status: Status, now: float, outcomes: list[Outcome]) -> None:
        slot.status, slot.seen = status, now
        if status.done > slot.job.size or (status.total and status.total != slot.job.size):
            self._rpc.remove([slot.gid])
            what = f"claims {status.total} bytes" if status.total else "sends more bytes than listed"
            self._broken(slot, IntegrityError(f"{slot.job.name!r}: the source {what}, {slot.job.size} are listed",
                                              file=slot.job.name), outcomes, afresh=True)  # fmt: skip
            return
        if status.done - slot.best > SMALL:
            slot.best, slot.tries = status.done, 0
        if slot.is_trial and now - slot.started > _TRIAL_SECONDS and status.speed < _FAST:
            slot.record(status, now=True)
            self._rpc.remove([slot.gid])
            slot.not_before = now + _POLL_BIG  # aria2 closes the part at its next turn
            self._slots.on(slot, JobEvent.BROKEN)
            return
        gapless = journal.prefix(status.bitfield, status.piece_length, slot.job.size) if status.bitfield else 0
        slot.record(status)
        outcomes.append(Moved(slot.job, status.done, gapless, status.speed, status.connections))

    def _ended(self, slot: Slot, status: Status, outcomes: list[Outcome]) -> None:
        if status.status == "complete":
            self._slots.on(slot, JobEvent.COMPLETE)
            journal.clear(slot.part)
            outcomes.append(Fetched(slot.job, slot.part, slot.sent(status), slot.sources, slot.resumed > 0))
            return
        row = meaning(status.error_code)
        code = status.error_code
        if code == _TWICE:
            # The claim on the part is ours, so this is what a run that was killed left in a daemon that lives on.
            self._rpc.remove(self._rpc.writers(slot.part))
        slot.record(status, now=True)
        slot.must_ask = "status=429" in status.error_message
        detail = status.error_message.partition("URI=")[0].strip().rstrip(".")  # what follows may be a signed link
        named = f"aria2 error {code}: {detail}" if detail else f"aria2 error {code}"
        error = row.error(
            f"{slot.job.name!r} from {', '.join(slot.sources)}: {row.words} ({named})",
            file=slot.job.name,
            source=slot.sources[0] if slot.sources else None,
        )
        then = Then.RETRY if status.status == "removed" else row.then
        self._broken(slot, error, outcomes, then=then, afresh=code in _RESTART_CODES)

    def _look_for_missing(self, slots: Mapping[str, Slot], now: float, outcomes: list[Outcome]) -> None:
        """A gid that is neither active nor stopped waits in aria2's queue, or someone took it away."""
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        unseen = [g for g, s in slots.items() if s.state is JobState.ACTIVE and now - s.seen > _LOOK_SECONDS]
        known = self._rpc.tell(unseen)
        for gid in unseen:
            slots[gid].seen = now
            if gid not in known:
                gone = DaemonError(f"{slots[gid].job.name!r}: the download vanished from the aria2 daemon")
                self._broken(slots[gid], gone, outcomes)

    def _share_speed(self, active: Sequence[Status], slots: Mapping[str, Slot], now: float) -> None:
        """Hold `max_speed` on a daemon whose global limit belongs to someone else."""
        if not self._limits.max_speed or now - self._shared_at < _LOOK_SECONDS:
            return
        self._shared_at = now
        ours = [status.gid for status in active if status.gid in slots]
        limit = {"max-download-limit": str(max(1024, self._limits.max_speed // max(1, len(ours))))}
        self._rpc.change_options((gid, limit) for gid in ours)

    # -- ending --------------------------------------------------------------------------------------------------------

    def _broken(
        self,
        slot: Slot,
        error: GlmAriaError,
        outcomes: list[Outcome],
        *,
        then: Then = Then.RETRY,
        afresh: bool = False,
    ) -> None:
        if afresh:
            slot.wipe()
        slot.tries += 1
        is_final = not (error.retryable or isinstance(error, DaemonError | IntegrityError))
        if then is Then.STOP or slot.tries >= _TRIES or (is_final and slot.tries > 1):
            self._slots.on(slot, JobEvent.GIVE_UP)
            outcomes.append(Lost(slot.job, error))
            return
        self._slots.on(slot, JobEvent.BROKEN)
        # Full jitter: many files that broke together do not come back together.
        slot.not_before = time.monotonic() + random.uniform(0, 0.5 * 2**slot.tries)  # noqa: S311

    def _reconnect(self) -> None:
        """The daemon is lost: start it again and continue all from the journals, or say that it is gone."""
        if self._restarts_left <= 0:
            raise DaemonError(
                "the aria2 daemon stopped answering during the transfer", hint="start it again and run the same command"
            )
        self._restarts_left -= 1
        self._rpc.close()
        self._open_rpc = Rpc(self._connect(), timeout=self._timeout)
        for slot in self._slots.of(JobState.ACTIVE):
            self._slots.on(slot, JobEvent.BROKEN)
