"""`pull --fleet`: one of many processes that pull the same, led by schedulers, with one resolve for all of them."""

from __future__ import annotations

import hashlib
import os
import queue
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from orchestrator.app.compose import mover_of
from orchestrator.app.fleet.control import event_loop
from orchestrator.app.fleet.led import LedNode, TaskProgress, led
from orchestrator.app.fleet.orders import KEY, LOCK, another_key, confirmed, name_of, repos_of
from orchestrator.app.opening import OpenCall
from orchestrator.app.peers.openness import keep_word
from orchestrator.catalogs.sites import Sites
from orchestrator.depot.mover import Mover
from orchestrator.errors import GlmAriaError, Interrupted, TemporaryError
from orchestrator.events import Emit, Event, Notice, SourceRates
from orchestrator.lists.lockfile import parse_lock, render_lock
from orchestrator.lists.request import PullRequest
from orchestrator.pulling import pull as flow
from orchestrator.pulling.locking import FreshLock, lock_ahead, locked_items
from orchestrator.pulling.report import ModelReport, PullReport
from orchestrator.settings import Settings
from orchestrator.swarm.control.access import sealed
from orchestrator.swarm.control.messages import Submission, TaskLock, TaskState, TaskStatus, task_of
from orchestrator.system.signals import Stop

_CONNECT = 10.5
"""Seconds for a scheduler to answer; before that the node has warned that none does."""
_GIVEN = 90.0
"""Seconds for the schedulers to give this node a task that they know, and after which it asks for that again."""
_TAKEN = 10.0
"""Seconds for the schedulers to take the lock that this node made."""
_ASK_AGAIN = 5.0
_AGAIN = 0.25
_BUCKET = 600
"""Seconds in which the same words mean the same task, where no job of a cluster tells. What is locked means the same at
any time."""
_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "JOB_ID")
"""Variables in which batch systems say which job this is: the same on all of its machines."""


def pull_in_fleet(settings: Settings, request: PullRequest, opened: OpenCall, stop: Stop, emit: Emit) -> PullReport:
    """Pull with the fleet of the settings. Errors of a model are in the report; where no scheduler answers, each node
    pulls for itself, with a warning. Raises what `led` does."""
    with event_loop() as loop, led(settings, opened, loop, stop, emit, may_host=True) as node:
        return pull_led(settings, request, opened, node, stop, emit)


def pull_led(  # noqa: PLR0917 - what is pulled, and with whom
    settings: Settings,
    request: PullRequest,
    opened: OpenCall,
    node: LedNode,
    stop: Stop,
    emit: Emit,
    *,
    stays: bool = False,
) -> PullReport:
    """Pull as this node of a fleet, which leaves it afterwards unless it `stays`. Errors of a model are in the
    report."""
    cache, sources, sites, _ = opened
    mover = replace(mover_of(settings), company=node.company)
    try:
        is_led = node.is_led(_CONNECT)
        agreement = _Agreement(request, opened, node, mover, stop, emit) if is_led else None
        task = agreement.reach() if agreement else None
        if stop.is_set():
            raise Interrupted(stop.signal_number)
    except Interrupted as error:
        return PullReport(tuple(_failed(request, error)), stop.signal_number)
    except GlmAriaError as error:
        return PullReport(tuple(_failed(request, error)), None)
    if agreement is None or task is None:
        if is_led:
            emit(Notice("fleet-without-lock", "the fleet did not give this machine the models; it pulls alone"))
        return flow.pull(request, sites, sources, cache, mover, stop=stop, emit=emit)
    fresh = parse_lock(task.lock, LOCK)
    keep_word(cache.records, node.keys, repos_of(fresh), is_restricted=task.is_restricted)
    locked = replace(
        request, items=locked_items(request, fresh), lock_name=confirmed(fresh), is_closed=task.is_restricted
    )
    progress = TaskProgress(task.task, node, emit, agreement.sent)
    progress.begin()
    with node.inbox.stopping(task.task, stop):
        report = flow.pull(locked, sites, sources, cache, mover, stop=stop, emit=progress.take)
        progress.end(report)
    if report.interrupted is not None and task.task in node.inbox.cancelled:
        return _cancelled(report, task.task)
    if report.interrupted is None and not stays:
        node.leave(stop, emit)
    return report


class _Agreement:
    """The way to the lock file that all processes of a task have. `sent` is what came from each source for it. Making
    one raises what `meanings` does."""

    def __init__(  # noqa: PLR0917 - what a lock is made of, and with whom
        self, request: PullRequest, opened: OpenCall, node: LedNode, mover: Mover, stop: Stop, emit: Emit
    ) -> None:
        self._request = request
        self._opened = opened
        self._node = node
        self._mover = mover
        self._stop = stop
        self._emit = emit
        self.sent: Mapping[str, int] = {}
        name = ", ".join(str(item.ref) for item in request.items[:3])
        key = key_of(request, os.environ, time.time(), meanings(request, opened.sites))
        self._asked = Submission(key, name, node=node.name)

    def reach(self) -> TaskLock | None:
        """The task, once somebody has made its lock, however long that takes; None when no scheduler answers any more,
        or gives one that is not to be believed, or takes that of this node.

        In the place of a task that was cancelled before this pull came to it there is another one. Raises what making
        the lock does.
        """
        answered = given = time.monotonic()
        listed = None
        while not self._stop.is_set():
            try:
                status = self._ask()
            except TemporaryError:
                if time.monotonic() > answered + _CONNECT:
                    return None
                self._stop.wait(_AGAIN)
                continue
            answered = time.monotonic()
            if status.state is TaskState.CANCELLED:
                self._asked, given = replace(self._asked, key=another_key(self._asked.key, status.id)), answered
            elif status.is_lock_yours and not self._asked.lock:
                self._asked = self._with(self._made())
                answered = given = time.monotonic()
            elif status.state is TaskState.UNLISTED:
                if self._asked.lock and answered > given + _TAKEN:
                    return None
                self._stop.wait(_AGAIN)
            else:
                listed = listed or answered
                # Whatever a scheduler calls it: another task is not what was asked for.
                task = task_of(self._asked.key)
                self._node.company.worker.join(task)
                told = self._node.inbox.again(task) or self._told(task)
                if told is not None or task in self._node.inbox.refused or time.monotonic() > listed + _GIVEN:
                    return told
        return None

    def _ask(self) -> TaskStatus:
        asked = sealed(self._node.keys, self._asked) if self._asked.lock else self._asked
        return self._node.calling.do(lambda calls: calls.submit(asked), self._stop)

    def _with(self, fresh: FreshLock) -> Submission:
        return replace(
            self._asked, name=name_of(fresh.lock), lock=render_lock(fresh.lock), is_restricted=fresh.is_closed
        )

    def _made(self) -> FreshLock:
        cache, sources, sites, _ = self._opened
        return lock_ahead(self._request, sites, sources, cache, self._mover, stop=self._stop, emit=self._hear)

    def _hear(self, event: Event) -> None:
        self._emit(event)
        if isinstance(event, SourceRates):
            self.sent = dict(event.sent)

    def _told(self, task: str) -> TaskLock | None:
        inbox = self._node.inbox
        until = time.monotonic() + _ASK_AGAIN
        while not self._stop.is_set() and time.monotonic() < until and task not in inbox.refused:
            try:
                told = inbox.tasks.get(timeout=_AGAIN)
            except queue.Empty:
                continue
            if told.task == task:
                return told
        return None


def meanings(request: PullRequest, sites: Sites) -> tuple[str, ...]:
    """The present commits of the names at sites that report each move, so that a pull after a move is another task.

    Raises what `Catalog.revision` does.
    """
    moving = (item.ref for item in request.items if item.ref.catalog.tells_moves and item.locked is None)
    return tuple(sites.of(ref).revision(ref).commit for ref in moving)


def key_of(request: PullRequest, environ: Mapping[str, str], now: float, meant: Sequence[str] = ()) -> str:
    """The key of a task: the same for processes of one job that pull the same, and to which names mean the same."""
    moment = "" if all(item.locked for item in request.items) else str(int(now) // _BUCKET)
    job = next((f"{name}={environ[name]}" for name in _JOBS if environ.get(name)), moment)
    words = [
        (
            str(item.ref),
            item.include,
            item.exclude,
            item.quantization,
            item.variant,
            item.locked.commit if item.locked else "",
        )
        for item in request.items
    ]
    told = (job, words, request.policy, request.safe_only, *meant)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:KEY]


def _cancelled(report: PullReport, task: str) -> PullReport:
    """The report of a pull that the fleet ended, and not the user."""
    error = TemporaryError(
        f"task {task} of the fleet was cancelled; arrived bytes are kept",
        hint="ask who cancelled it; run the same command again if it is wanted after all",
    )
    models = (replace(one, error=error) if isinstance(one.error, Interrupted) else one for one in report.models)
    return PullReport(tuple(models))


def _failed(request: PullRequest, error: GlmAriaError) -> Iterable[ModelReport]:
    return (ModelReport(str(item.ref), local_dir=item.local_dir, error=error) for item in request.items)
