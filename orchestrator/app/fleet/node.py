"""`node`: a machine that fetches what the schedulers of its fleet have for it, one task after the other."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.app.compose import mover_of, sweep
from orchestrator.app.fleet.control import event_loop
from orchestrator.app.fleet.led import LedNode, TaskProgress, led
from orchestrator.app.fleet.orders import KEPT, LOCK, confirmed, name_of, repos_of
from orchestrator.app.opening import OpenCall, opened
from orchestrator.app.peers.openness import keep_word
from orchestrator.core.text import counted
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, FleetNews, Notice
from orchestrator.lists.lockfile import Lock, parse_lock
from orchestrator.lists.request import Item, PullRequest
from orchestrator.pulling import pull as flow
from orchestrator.pulling.report import PullReport
from orchestrator.settings import Settings
from orchestrator.supervisor import supervised
from orchestrator.swarm.control.messages import NodePhase, TaskLock
from orchestrator.system import threads
from orchestrator.system.signals import Stop

_GLANCE = 0.5
_PAUSES = (0.0, 5.0)
"""Seconds before each further try of a task."""
_WAITS = "waits for tasks"


@dataclass(frozen=True, slots=True)
class EndedNode:
    """A node that has ended: its name, and how many tasks it did."""

    name: str
    tasks: int


def serve_node(settings: Settings, stop: Stop, emit: Emit, on_ready: Callable[[str], None]) -> EndedNode:
    """Take tasks until `stop`, or until the node was drained; `on_ready` is told its name. Raises what `led` does."""
    with (
        # One for all tasks: what one of them placed is given to peers during the next.
        opened(settings, stop, emit) as found,
        event_loop() as loop,
        led(settings, found, loop, stop, emit, takes_tasks=True) as node,
    ):
        stop.is_abrupt = False
        tasks = _Tasks(settings, found, node, emit)
        thread = threading.Thread(target=tasks.run, name="tasks")
        threads.start(thread)
        on_ready(node.name)
        emit(FleetNews("waiting", _WAITS, is_idle=True))
        try:
            with supervised(loop.run, tasks.status):
                while not stop.wait(_GLANCE) and not node.inbox.may_leave.is_set():
                    if (refusal := node.refusal) is not None:
                        raise refusal
            if node.inbox.may_leave.is_set():
                emit(FleetNews("drained", "drained: others have what this node had, and it leaves", is_idle=True))
        finally:
            tasks.end(stop.signal_number)
            thread.join()
        return EndedNode(node.name, len(tasks.done))


class _Tasks:
    """Tasks in the order in which they came, in a thread of their own."""

    def __init__(self, settings: Settings, opened: OpenCall, node: LedNode, emit: Emit) -> None:
        self._settings = settings
        self._opened = opened
        self._node = node
        self._emit = emit
        self._end = Stop()
        self._current: Stop | None = None
        self._doing = _WAITS
        self._progress: dict[str, TaskProgress] = {}
        self.done: set[str] = set()

    def status(self) -> str:
        """The state of the node in a line. Thread-safe."""
        return f"{self._doing}, {counted(len(self.done), 'task')} done"

    def run(self) -> None:
        while not self._end.is_set():
            with contextlib.suppress(queue.Empty):
                self._take(self._node.inbox.tasks.get(timeout=_GLANCE))

    def end(self, number: int) -> None:
        """End all."""
        self._end.set()
        if (current := self._current) is not None:
            current.signal_number = number
            current.set()

    def _take(self, task: TaskLock) -> None:
        """Do a task; one that is told again is looked at again, which costs nothing where all is in place."""
        stop = Stop()
        stop.is_abrupt = False
        self._current = stop
        try:
            with self._node.inbox.stopping(task.task, stop):
                # Who ends all sets `_end` first, and looks for the current one then.
                if not (stop.is_set() or self._end.is_set()):
                    self._try(task, stop)
        finally:
            self._current, self._doing = None, _WAITS

    def _try(self, task: TaskLock, stop: Stop) -> None:
        # A scheduler that lost what it knew tells a task again that was done.
        progress = self._progress.setdefault(task.task, TaskProgress(task.task, self._node, self._emit))
        for old in list(self._progress)[:-KEPT]:
            del self._progress[old]
        progress.tell(NodePhase.FETCHING)
        try:
            lock = parse_lock(task.lock, LOCK)
            named = f"task {task.task} ({name_of(lock)})"
            self._doing = f"at {named}"
            self._emit(FleetNews("task", f"{named} begins"))
            report = self._pull(task, lock, stop, progress)
            for pause in _PAUSES:
                if not _is_worth_another(report) or stop.wait(pause):
                    break
                report = self._pull(task, lock, stop, progress)
        except GlmAriaError as error:
            progress.tell(NodePhase.FAILED, error.code)
            self._emit(Notice("task-failed", f"task {task.task} failed here: {error.message}"))
            self._emit(FleetNews("waiting", _WAITS, is_idle=True))
            return
        if not self._end.is_set():
            progress.end(report)
            failed = any(model.failure() is not None for model in report.models)
            how = "was cancelled" if stop.is_set() else "failed here" if failed else "is done"
            self._emit(FleetNews("task", f"{named} {how}; waits for tasks", is_idle=True))
        if not stop.is_set():
            self.done.add(task.task)

    def _pull(self, task: TaskLock, lock: Lock, stop: Stop, progress: TaskProgress) -> PullReport:
        progress.begin()
        request = PullRequest(
            tuple(
                Item(model.ref, model.include, model.exclude, priority=task.priority, locked=model)
                for model in lock.models
            ),
            policy=self._settings.policy,
            lock_name=confirmed(lock),
            is_closed=task.is_restricted,
            portable=self._settings.portable,
        )
        cache, sources, sites, _ = self._opened
        keep_word(cache.records, self._node.keys, repos_of(lock), is_restricted=task.is_restricted)
        mover = replace(mover_of(self._settings), company=self._node.company)
        report = flow.pull(request, sites, sources, cache, mover, stop=stop, emit=progress.take)
        sweep(cache.staging)
        for model in report.models:
            if model.error is not None and not stop.is_set():
                then = f" ({model.error.hint})" if model.error.hint else ""
                self._emit(Notice("task-failed", f"{model.ref} failed here: {model.error.message}{then}"))
        return report


def _is_worth_another(report: PullReport) -> bool:
    return report.interrupted is None and any(model.error and model.error.retryable for model in report.models)
