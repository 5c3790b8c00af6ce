"""The follower: looks, plans, and has one thing done at a time, until readers have what the sources desire.

Everything slow runs in chores, and the loop decides by values. It may be killed at any moment: what is on the disk
says where to go on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from orchestrator.core.refs import parse_target
from orchestrator.desired.following import polling
from orchestrator.desired.following.aim import Aim
from orchestrator.desired.following.chore import Chore
from orchestrator.desired.following.looking import Looker, stays
from orchestrator.desired.following.picture import Picture, steps, target_of
from orchestrator.desired.following.polling import Poll
from orchestrator.desired.following.reporting import Reporter, SetFacts, held
from orchestrator.desired.following.request import FollowPorts, FollowReport, FollowRequest
from orchestrator.desired.following.running import Attempts, Running, minute
from orchestrator.desired.following.work import Errors, Lacking, Locked
from orchestrator.desired.plan import Fetch, FlipSet, Prune, Repair, Step, Wait
from orchestrator.desired.sets import StoredSet
from orchestrator.desired.status import SetStatus
from orchestrator.desired.wish.wanted import ModelSet
from orchestrator.errors import GlmAriaError, Interrupted, NoSpaceError
from orchestrator.events import Emit, Event, Flipped, Notice
from orchestrator.system.signals import Stop

_STEP = 0.1
_CHECK = 60.0
"""Seconds between two looks at the files of the set of readers, by stat only."""
_TOLD = 1.0
"""Seconds between two writes of the status while nothing but its times and counts changes."""
_GOODBYE = 10.0


def follow(request: FollowRequest, ports: FollowPorts, stop: Stop, emit: Emit) -> FollowReport:
    """Follow until `stop` is set. Raises TemporaryError when another process follows for this set, and the errors of
    the disk at the start."""
    with ports.file.alone():
        ports.store.make()
        return _Follower(request, ports, stop, emit).run()


class _Follower:
    def __init__(self, request: FollowRequest, ports: FollowPorts, stop: Stop, emit: Emit) -> None:
        self._request, self._ports, self._stop, self._emit = request, ports, stop, emit
        self._store, self._work = ports.store, ports.work
        self._aim = Aim(ports.file.load(), request.labels, request.rules, request.budget, request.grace)
        memory = self._aim.memory
        self._looker = Looker(ports.sources, request.interval, memory.states, memory.serials, at_once=request.once)
        self._reporter = Reporter(request.node, request.labels, ports.store)
        self._kept: tuple[StoredSet, ...] = ()
        self._lacking: Lacking | None = None
        self._lost: Lacking | None = None
        self._checked = float("-inf")
        self._tries = Attempts()
        self._running: Running | None = None
        self._wait: Wait | None = None
        self._is_done = False
        self._told = float("-inf")

    def run(self) -> FollowReport:
        self._stop.is_abrupt = False
        self._kept = self._store.kept()
        self._aim.recall(self._kept)
        self._aim.take(self._looker)
        while not self._stop.is_set():
            now = time.monotonic()
            try:
                self._turn(now)
            except GlmAriaError as error:
                # The disk, above all. What readers have stays, and it is tried again.
                self._fail(error)
            self._report(now)
            if self._request.once and self._is_over():
                break
            self._stop.wait(_STEP)
        if self._running is not None:
            self._running.chore.stop.signal_number = self._stop.signal_number
            self._running.chore.stop.set()
            self._running.chore.join(_GOODBYE)
        status = self._status(is_last=self._request.once and not self._stop.is_set())
        self._ports.show(status)
        interrupted = self._stop.signal_number if self._stop.is_set() else None
        return FollowReport(status, self._errors(), interrupted)

    def _turn(self, now: float) -> None:
        for one in self._looker.turn(now):
            if (notice := one.notice()) is not None:
                self._emit(notice)
            if one.error is not None:
                continue
            before = self._aim.error
            if self._aim.take(self._looker):
                self._tries = Attempts(is_full=self._tries.is_full)
            if self._aim.error is not None and before is None:
                self._emit(Notice("state-wrong", f"{self._aim.error.message}; {stays(self._aim.wanted)}"))
            self._lacking = None
            self._save()
        running = self._running
        if running is None:
            self._begin(now)
        elif running.chore.is_done:
            self._running = None
            try:
                running.take(running.chore.result())
            except Interrupted:
                self._lacking = None
            if running.is_of_another_wish(self._aim):
                self._tries = Attempts(is_full=self._tries.is_full)
        elif running.is_outdated(self._aim):
            running.chore.stop.set()

    # -- what is begun next

    def _begin(self, now: float) -> None:
        desired, current = self._aim.set, self._current()
        self._is_done = False
        asked = self._aim.open
        if asked and now >= self._tries.lock.due:
            self._start(lambda stop: self._work.lock(asked, stop, self._hear), self._locked, is_bound=True)
        elif now >= self._checked + min(_CHECK, self._request.interval) or (desired and self._lacking is None):
            self._start(lambda stop: self._look(desired, current, stop), self._looked)
        else:
            self._wait = None
            found = Picture(self._kept, current, self._lacking, self._lost, self._store.flipped_at())
            for step in steps(self._aim, found, minute(), is_full=self._tries.is_full):
                if self._do(step, now, desired, current):
                    return
            if current is not None and not self._lost and now >= self._tries.work.due:
                self._tidy(desired, current)

    def _do(self, step: Step, now: float, desired: ModelSet | None, current: StoredSet | None) -> bool:
        """Begin a step; False where it has to wait, and another one may be done."""
        if isinstance(step, Wait):
            self._wait = step
        elif isinstance(step, Prune):
            self._prune(step.digest)
            return True
        elif now >= self._tries.work.due and desired is not None and isinstance(step, FlipSet):
            self._flip(desired, current)
            return True
        elif now >= self._tries.work.due and isinstance(step, Repair) and current is not None:
            self._fetch(current.models, step.models, is_staging=False)
            return True
        elif now >= self._tries.work.due and isinstance(step, Fetch) and desired is not None:
            self._fetch(desired, step.models, is_staging=True)
            return True
        return False

    def _tidy(self, desired: ModelSet | None, current: StoredSet) -> None:
        """Do what comes when readers have what they should: refs, all bytes once a day, what nobody needs any more."""
        memory = self._aim.memory
        if memory.published != current.digest:
            self._start(lambda stop: self._work.publish(current.models, stop, self._hear), self._published)
        elif time.time() >= memory.verified + self._request.verify_every or time.time() < memory.verified:
            self._start(lambda stop: self._work.verify(current.models, stop, self._hear), self._verified)
        elif desired is None or desired.digest == current.digest:
            needed = self._needed(desired)
            pins = [pin for pin in memory.pins if pin not in needed]
            brought = [one for one in memory.brought if one not in needed]
            if pins or brought:
                self._start(lambda _: self._forget(pins, brought), lambda _: self._forgotten(pins, brought))
            else:
                self._is_done, self._tries.error = True, None

    def _start(
        self,
        call: Callable[[Stop], Any],
        take: Callable[[Any], None],
        at: Collection[str] = (),
        *,
        is_bound: bool = False,
        in_window: bool = False,
    ) -> None:
        wish = self._aim.memory.wish
        self._running = Running(Chore(call, "work"), take, wish, frozenset(at), is_bound, in_window)

    # -- the steps, and what they found

    def _locked(self, found: Locked) -> None:
        before = self._aim.set
        self._aim.learn(found.models)
        self._tries.unlocked = found.errors
        turn = polling.again if found.errors else polling.answered
        self._tries.lock = turn(self._tries.lock, time.monotonic(), self._request.interval, _roll())
        if self._aim.set != before:
            self._lacking = None
            self._save()

    def _look(self, desired: ModelSet | None, current: StoredSet | None, stop: Stop) -> tuple[Lacking | None, Lacking]:
        lost = self._work.lacking(current.models, stop) if current else {}
        if desired is None or (current is not None and desired.digest == current.digest):
            return (None if desired is None else lost), lost
        return self._work.lacking(desired, stop), lost

    def _looked(self, found: tuple[Lacking | None, Lacking]) -> None:
        lacking, lost = found
        if lost and not self._lost:
            count = sum(map(len, lost.values()))
            self._emit(
                Notice("drift", f"{count} file(s) of the set {self._store.name} are lost or wrong; fetched again")
            )
            self._aim.memory = replace(self._aim.memory, drift=self._aim.memory.drift + count)
            self._save()
        self._lacking, self._lost, self._checked = lacking, lost, time.monotonic()

    def _fetch(self, models: ModelSet, names: frozenset[str], *, is_staging: bool) -> None:
        targets = [target_of(model.locked) for model in models.models if model.name in names]
        pins, brought = self._work.hold(targets)
        self._aim.memory = self._aim.memory.holding(pins, brought)
        self._save()
        speed = self._aim.budget.speed

        def call(stop: Stop) -> Errors:
            return self._work.fetch(models, names, speed, stop, self._hear)

        self._start(call, self._fetched, names, is_bound=is_staging, in_window=is_staging)

    def _fetched(self, errors: Errors) -> None:
        self._reporter.forget_progress()
        self._lacking, self._checked = None, float("-inf")
        real = {name: error for name, error in errors.items() if not isinstance(error, Interrupted)}
        self._tries.unfetched = real
        self._tries.is_full = any(isinstance(error, NoSpaceError) for error in real.values())
        if real:
            name, error = next(iter(real.items()))
            self._emit(Notice("model-failed", f"{name}: {error.message}; tried again later"))
            self._retry()
        else:
            self._tries.work, self._tries.error = Poll(float("-inf")), None

    def _flip(self, desired: ModelSet, current: StoredSet | None) -> None:
        memory, now = self._aim.memory, time.time()
        revisions = tuple(one.state.revision for one in self._looker.sources if one.state is not None)
        made = self._store.build(desired, memory.generation, memory.wish, revisions, now)
        self._store.flip(made.folder)
        # Of the first set all was proven just now.
        flipped = memory.flipped(current.digest if current else None, made.digest, now)
        self._aim.memory = replace(flipped, verified=memory.verified or now)
        self._kept = self._store.kept()
        self._lost, self._tries.error, self._tries.is_full = {}, None, False
        self._save()
        folder = self._store.folder / made.folder
        old = current.digest if current else None
        self._ports.flipped(Flipped(self._store.name, folder, old, made.digest))

    def _prune(self, digest: str) -> None:
        for one in self._kept:
            if one.digest == digest:
                self._store.remove(one.folder)
        self._kept = self._store.kept()
        left = {key: when for key, when in self._aim.memory.left.items() if key != digest}
        self._aim.memory = replace(self._aim.memory, left=left)
        self._save()

    def _published(self, errors: Errors) -> None:
        current = self._current()
        if errors:
            self._tries.unfetched = errors
            self._retry()
        elif current is not None:
            self._aim.memory = replace(self._aim.memory, published=current.digest)
            self._save()

    def _verified(self, wrong: int) -> None:
        self._aim.memory = replace(self._aim.memory, verified=time.time())
        self._save()
        if wrong:
            self._checked = float("-inf")

    def _forget(self, pins: list[str], brought: list[str]) -> None:
        self._work.forget(map(parse_target, pins), map(parse_target, brought))

    def _forgotten(self, pins: list[str], brought: list[str]) -> None:
        memory = self._aim.memory
        self._aim.memory = replace(
            memory,
            pins=tuple(pin for pin in memory.pins if pin not in pins),
            brought=tuple(one for one in memory.brought if one not in brought),
        )
        self._save()

    # -- what is known

    def _current(self) -> StoredSet | None:
        name = self._store.current_name()
        return next((one for one in self._kept if one.folder == name), None)

    def _needed(self, desired: ModelSet | None) -> frozenset[str]:
        sets = (*(one.models for one in self._kept), *((desired,) if desired else ()))
        return frozenset(str(target_of(one.locked)) for kept in sets for one in kept.models)

    def _is_over(self) -> bool:
        """True when a follower that runs once has nothing more to do now."""
        if self._running is not None or not self._looker.has_looked:
            return False
        if self._aim.wanted is None:
            return all(one.error is not None or one.state is not None for one in self._looker.sources)
        return self._is_done or bool(self._errors())

    def _errors(self) -> tuple[GlmAriaError, ...]:
        own = [self._aim.error, held(self._wait if self._request.once else None)]
        found = (*own, *self._looker.errors, *self._tries.errors)
        return tuple(error for error in found if error is not None)

    def _fail(self, error: GlmAriaError) -> None:
        self._tries.error = error
        self._tries.is_full = isinstance(error, NoSpaceError)
        self._emit(Notice("step-failed", f"{error.message}; tried again later"))
        self._lacking, self._checked = None, time.monotonic()
        self._retry()

    def _retry(self) -> None:
        self._tries.work = polling.again(self._tries.work, time.monotonic(), self._request.interval, _roll())

    def _hear(self, event: Event) -> None:
        self._reporter.hear(event)
        self._emit(event)

    def _save(self) -> None:
        self._ports.file.save(self._aim.memory)

    def _status(self, *, is_last: bool = False) -> SetStatus:
        facts = SetFacts(
            current=self._current(),
            lacking=self._lacking,
            lost=self._lost,
            errors={**self._tries.unlocked, **self._tries.unfetched},
            error=self._tries.error,
            wait=self._wait,
            at=self._running.at if self._running else frozenset(),
        )
        return self._reporter.status(self._aim, self._looker, facts, is_last=is_last)

    def _report(self, now: float) -> None:
        if now >= self._told + _TOLD:
            self._told = now
            self._ports.show(self._status())


def _roll() -> float:
    return random.random()  # noqa: S311 - no secret
