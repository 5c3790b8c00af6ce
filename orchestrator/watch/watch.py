"""`watch`: keep the cache equal to a list. Reads the list on every change, and pulls what is new or may have moved.

All that is due is pulled as one queue. If the list changes meanwhile, that pull is stopped and restarted with the new
list; arrived bytes are kept. A model that fails waits alone, and longer each time; the others go on.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.cache.retention.pins import Pins
from orchestrator.core.refs import Target
from orchestrator.core.sizes import format_duration
from orchestrator.errors import GlmAriaError, Interrupted, UsageError
from orchestrator.events import Emit, Event, Flipped, ModelPhase, Notice, Phase
from orchestrator.lists.request import Item
from orchestrator.pulling.report import ModelReport
from orchestrator.system.signals import Stop
from orchestrator.watch import reconcile
from orchestrator.watch.follow import Follower
from orchestrator.watch.news import NO_NEWS, MoveNews
from orchestrator.watch.reconcile import Schedule
from orchestrator.watch.state import ModelState, WatchFile, WatchState
from orchestrator.watch.turn import Pull, Turn

GONE = 10.0
"""Seconds for which a model must be missing from the list before its pin goes: half a list is no reason to unpin."""
RETRY = 5.0
"""Seconds between two looks at a list that is wrong: what it lacks may be a file that nobody follows yet."""
LONG = 600.0
"""Seconds of one pull, or the interval, after which others that are due are let in."""
HEARD = 3600.0
"""Seconds between two looks at a model that is told about when it moves."""
_STEP = 0.1

Listing = tuple[tuple[Item, ...], tuple[Path, ...]]
Read = Callable[[], Listing]
"""The models of the list and all files that it is made of. Raises UsageError for a list that is wrong."""


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """The request of a watch. `interval` are seconds between two looks at a branch; `once` ends when each model had its
    turn.

    `pin` pins the models of the list; `unpin` takes the pins that this watch made back when a model leaves it.
    """

    interval: float
    once: bool = False
    pin: bool = False
    unpin: bool = False


@dataclass(frozen=True, slots=True)
class WatchReport:
    """The end of a watch: the state, the last failures, and the signal that stopped it."""

    state: WatchState
    errors: tuple[GlmAriaError, ...]
    interrupted: int | None


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a watch: the list, the pulls, the pins of the cache, the file of its own state, and the news."""

    read: Read
    pull: Pull
    pins: Pins
    file: WatchFile
    news: MoveNews = NO_NEWS


def watch(request: WatchRequest, ports: Ports, stop: Stop, emit: Emit) -> WatchReport:
    """Watch until `stop` is set, or with `once` until all is done.

    `emit` sees, besides the events of the pulls, a `Flipped` for a model whose commit another program has moved.
    Raises UsageError when the list is wrong at the start, TemporaryError when it is watched already, and the disk's
    errors.
    """
    with ports.file.alone(), Follower() as follower:
        return _Watch(request, ports, stop, emit, follower).run()


class _Watch:
    def __init__(self, request: WatchRequest, ports: Ports, stop: Stop, emit: Emit, follower: Follower) -> None:
        self._request, self._stop, self._emit = request, stop, emit
        self._read, self._pull, self._pins, self._file = ports.read, ports.pull, ports.pins, ports.file
        self._news = ports.news
        self._follower = follower
        self._state = ports.file.load()
        self._lock = threading.Lock()
        self._schedules: dict[Item, Schedule] = {}
        self._states: dict[Item, ModelState] = {}
        self._errors: dict[Item, GlmAriaError] = {}
        self._leaving: dict[str, float] = {}
        self._moved: frozenset[Item] = frozenset()
        self._cuts = 0
        self._retry = float("inf")

    def run(self) -> WatchReport:
        # From here on a signal ends things in order.
        self._stop.is_abrupt = False
        self._state = replace(self._state, interval=self._request.interval)
        self._take()
        turn: Turn | None = None
        while not self._stop.is_set():
            now = time.monotonic()
            if self._follower.changed() or now >= self._retry:
                self._reread()
            self._unpin()
            self._hear(turn, now)
            if turn is not None:
                turn = self._look_after(turn, now)
                self._stop.wait(_STEP)
                continue
            due = reconcile.due(self._schedules, now)
            if self._request.once:
                due = tuple(item for item in due if not self._schedules[item].failures)
            if due:
                turn = self._begin(due)
            elif self._request.once and all(
                schedule.failures or schedule.due > now for schedule in self._schedules.values()
            ):
                break
            else:
                self._stop.wait(_STEP)
        if turn is not None:
            self._end(turn)
        self._unpin(at_once=self._request.once)
        self._save()
        interrupted = self._stop.signal_number if self._stop.is_set() else None
        return WatchReport(self._snapshot(), tuple(self._errors.values()), interrupted)

    # -- the list

    def _take(self) -> None:
        files = self._read()[1]
        # Read a second time: a change between the first and the look at the files would be missed.
        look = self._follower.look(files)
        items, now_files = self._read()
        self._follower.follow(now_files, look if now_files == files else None)
        self._retry = float("inf") if now_files == files else 0.0
        files = now_files
        if not self._request.once:
            self._news.follow(items)
        now = time.monotonic()
        self._schedules = reconcile.reconcile(self._schedules, items, now)
        self._errors = {item: error for item, error in self._errors.items() if item in self._schedules}
        with self._lock:
            known = self._states
            self._states = {item: known.get(item) or self._earlier(item) for item in items}
        self._state = replace(self._state, error=None, files=tuple(str(file.absolute()) for file in files))
        self._pin()
        self._save()

    def _earlier(self, item: Item) -> ModelState:
        """The state that an earlier run left: above all the commit that was reported last."""
        ref = str(item.ref)
        return replace(self._state.of(ref) or ModelState(ref), state="waiting", error=None, failures=0, next=None)

    def _reread(self) -> None:
        try:
            self._take()
        except UsageError as error:
            self._retry = time.monotonic() + RETRY
            if self._state.error != error.message:
                self._state = replace(self._state, error=error.message)
                self._emit(Notice("list-wrong", f"{error.message}; the last good list stays in use"))
                self._save()

    def _pin(self) -> None:
        if not self._request.pin and not self._request.unpin:
            return
        listed = {str(_target(item)) for item in self._schedules}
        mine = set(self._state.pins)
        if self._request.pin:
            missing = [target for item in self._schedules if (target := _target(item)) not in self._pins.own()]
            self._pins.add(missing)
            # One that the user had pinned before is the user's, and stays when the list lets go of the model.
            mine |= {str(target) for target in missing}
        now = time.monotonic()
        self._leaving = {text: self._leaving.get(text, now) for text in mine - listed}
        self._state = replace(self._state, pins=tuple(sorted(mine)))

    def _unpin(self, *, at_once: bool = False) -> None:
        if not self._request.unpin:
            return
        now = time.monotonic()
        gone = {text for text, since in self._leaving.items() if at_once or now - since >= GONE}
        if gone:
            self._pins.remove([pin for pin in self._pins.own() if str(pin) in gone])
            self._leaving = {text: since for text, since in self._leaving.items() if text not in gone}
            self._state = replace(self._state, pins=tuple(text for text in self._state.pins if text not in gone))
            self._save()

    def _hear(self, turn: Turn | None, now: float) -> None:
        """Have those pulled next that have moved. One that is being pulled may have been looked at before it moved."""
        news = self._news.moved() | self._moved
        self._moved = news & frozenset(turn.items if turn else ())
        schedules = reconcile.moved(self._schedules, news - self._moved, now)
        self._schedules = reconcile.unheard(schedules, self._news.hears, now, self._request.interval)

    # -- the pulls

    def _begin(self, due: tuple[Item, ...]) -> Turn:
        self._pin()
        for item in due:
            self._states[item] = replace(self._states[item], state="pulling", next=None)
        self._save()
        return Turn(due, self._pull, self._tell)

    def _tell(self, event: Event) -> None:
        self._emit(event)
        if isinstance(event, Flipped):
            # Only now, after the listeners were told: if killed before, the next run tells them again.
            self._note(event.model, commit=event.new, version=event.version, snapshot=str(event.snapshot))
        elif isinstance(event, ModelPhase) and event.phase is Phase.DONE:
            self._note(event.model, state="done", last_success=time.time(), error=None)

    def _note(self, ref: str, **changes: Any) -> None:
        """Record the outcome of a model while others of its pull continue."""
        with self._lock:
            for item, state in self._states.items():
                if state.ref == ref and state.state in ("pulling", "done"):
                    self._states[item] = replace(state, **changes)
        # It is so, whether or not that can be written down just now.
        with contextlib.suppress(GlmAriaError):
            self._save()

    def _look_after(self, turn: Turn, now: float) -> Turn | None:
        if turn.is_done:
            self._settle(turn)
            return None
        # Twice as long each time, so that a pull that needs longer than this gets it.
        is_long = now - turn.began > max(LONG, self._request.interval) * 2.0**self._cuts
        if not turn.stop.is_set() and reconcile.is_outdated(set(turn.items), self._schedules, now, is_long=is_long):
            self._cuts += is_long
            turn.stop.set()
        return turn

    def _end(self, turn: Turn) -> None:
        """The run is being stopped: so is the pull. Where it only waits for an answer, it is not waited for."""
        turn.stop.signal_number = self._stop.signal_number
        turn.stop.set()
        while not turn.is_done:
            if turn.stop.is_abrupt:
                time.sleep(_STEP)
                if turn.stop.is_abrupt:
                    break
            time.sleep(_STEP)
        if turn.is_done:
            self._settle(turn)
        for item, state in self._states.items():
            if state.state == "pulling":
                self._states[item] = replace(state, state="interrupted")

    def _settle(self, turn: Turn) -> None:
        if turn.error is not None:
            if not isinstance(turn.error, GlmAriaError):
                raise turn.error
            # The disk, or aria2: it concerned all of them alike.
            reports = [ModelReport(str(item.ref), error=turn.error) for item in turn.items]
        else:
            reports = list(turn.report.models) if turn.report else []
        if not turn.stop.is_set():
            self._cuts = 0
        for item, report in zip(turn.items, reports, strict=False):
            if item in self._schedules:
                self._take_report(item, report)
        self._save()

    def _take_report(self, item: Item, report: ModelReport) -> None:
        now, schedule, state = time.monotonic(), self._schedules[item], self._states[item]
        if isinstance(report.error, Interrupted):
            # It goes on in the next turn.
            self._states[item] = replace(state, state="interrupted" if self._stop.is_set() else "waiting")
            return
        if report.error is not None:
            schedule = reconcile.failed(schedule, now, self._request.interval, random.random())  # noqa: S311 - no secret
            self._errors[item] = report.error
            state = replace(state, state="failed", error=_told_of(report.error))
            if not self._request.once:
                wait = format_duration(schedule.due - now)
                self._emit(Notice("model-failed", f"{report.ref}: {report.error.message}; retry in {wait}"))
        else:
            interval = max(self._request.interval, HEARD) if self._news.hears(item) else self._request.interval
            schedule = reconcile.succeeded(schedule, now, interval)
            self._errors.pop(item, None)
            self._announce(state, report)
            snapshot = str(report.snapshot) if report.snapshot else None
            state = replace(state, commit=report.commit, version=report.version, snapshot=snapshot)
            state = replace(state, state="done", error=None, last_success=time.time())
        due = time.time() + schedule.due - now
        self._schedules[item] = schedule
        self._states[item] = replace(state, failures=schedule.failures, next=None if self._request.once else due)

    def _announce(self, before: ModelState, report: ModelReport) -> None:
        """Report a flip by another program, or by a run of ours that was killed before it could report it."""
        if report.commit is None or report.snapshot is None:
            return
        if before.commit not in (None, report.commit):
            self._emit(Flipped(report.ref, report.snapshot, before.commit, report.commit, report.version))

    def _snapshot(self) -> WatchState:
        return replace(self._state, models=tuple(self._states.values()))

    def _save(self) -> None:
        with self._lock:
            self._file.save(self._snapshot())


def _target(item: Item) -> Target:
    """The model in the cache; all of its repo where the revision can have no ref there."""
    return Target(item.ref.repo, item.ref.commit or item.ref.branch)


def _told_of(error: GlmAriaError) -> dict[str, str | None]:
    return {"code": error.code, "message": error.message, "hint": error.hint}
