"""Orders of schedulers to a node of this process, and the tasks that it keeps alive when schedulers forget them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import queue
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, Notice
from orchestrator.lists.lockfile import Lock, parse_lock
from orchestrator.swarm.control.access import is_sealed
from orchestrator.swarm.control.messages import TaskLock
from orchestrator.swarm.control.worker import Orders
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.system.signals import Stop

KEY = 32
"""Letters of the key of a task."""
LOCK = "the lock of the fleet"
_SHOWN = 16
"""Characters of the id of a task, as a stranger tells it."""
KEPT = 16
"""Tasks that are not under way of which a node still knows what they list: others may be at them."""
_TOLD = 2.0
"""Seconds after its welcome within which a scheduler that knows a task tells it."""


@dataclass(slots=True)
class OrderBook:
    """The words of schedulers to this node: tasks, those that were cancelled, and whether it may leave.

    A lock without a seal of `keys` is as good as not told: its task is among the `refused`.

    `welcomes` counts the schedulers that answered. One that is new, or has lost what it knew, does not tell the tasks
    that this node is at: they are given to `submit` then, until it does. A task that was cancelled is no task any more,
    also where one still tells it. `forget` is told what no task lists any more that this node is at, or was lately.
    """

    keys: FleetKeys
    emit: Emit
    tasks: queue.SimpleQueue[TaskLock] = field(default_factory=queue.SimpleQueue)
    cancelled: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    may_leave: threading.Event = field(default_factory=threading.Event)
    welcomes: int = 0
    expect: Callable[[str, Collection[Digest]], None] = lambda *_: None
    submit: Callable[[TaskLock], Awaitable[None]] | None = None
    forget: Callable[[str, Collection[Digest]], None] = lambda *_: None
    _active: dict[str, TaskLock] = field(default_factory=dict)
    _listed: dict[str, frozenset[Digest]] = field(default_factory=dict)
    _locks: dict[str, TaskLock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _told: set[str] = field(default_factory=set)
    _scheduler: str = ""
    _stops: dict[str, Stop] = field(default_factory=dict)
    _keeping: asyncio.Task[None] | None = None

    def orders(self) -> Orders:
        """The callbacks of the worker. The blobs of a task are expected at once, each time that it is told."""
        return Orders(self._take, self._cancel, self._drain, self._welcome)

    @contextlib.contextmanager
    def stopping(self, task: str, stop: Stop) -> Iterator[None]:
        """Have `stop` set when the task is cancelled, or was. In the end this node is done with it."""
        self._stops[task] = stop
        if task in self.cancelled:
            stop.set()
        try:
            yield
        finally:
            self._stops.pop(task, None)
            self.ended(task)

    def again(self, task: str) -> TaskLock | None:
        """Begin a task once more that this node was at lately: a scheduler tells it once. None for another one."""
        with self._lock:
            found = None if task in self.cancelled else self._locks.get(task)
            if found is not None:
                self._active[task] = found
                listed = self._listed[task]
        if found is not None:
            self.expect(task, listed)
        return found

    def ended(self, task: str) -> None:
        """This node is done with a task."""
        with self._lock:
            self._active.pop(task, None)
            over = [name for name in self._listed if name not in self._active][:-KEPT]
            gone = {name: self._listed.pop(name) for name in over}
            self._locks = {name: lock for name, lock in self._locks.items() if name in self._listed}
            kept = frozenset[Digest]().union(*self._listed.values()) if gone else frozenset()
        for name, digests in gone.items():
            self.forget(name, digests - kept)

    def _cancel(self, task: str) -> None:
        self.cancelled.add(task)
        self.ended(task)
        if (stop := self._stops.get(task)) is not None:
            stop.set()

    def _take(self, task: TaskLock) -> None:
        if task.task in self.cancelled:
            return
        if not is_sealed(self.keys, task):
            self._refuse(task)
            return
        self.refused.discard(task.task)
        self._told.add(task.task)
        listed: Sequence[Digest] = ()
        with contextlib.suppress(GlmAriaError):  # who takes the task will say so
            listed = digests_of(parse_lock(task.lock, LOCK))
        with self._lock:
            self._listed.pop(task.task, None)
            self._listed[task.task] = frozenset(listed)
            self._locks[task.task] = task
            is_new = task.task not in self._active
            self._active[task.task] = task
        self.expect(task.task, listed)
        if is_new:
            self.tasks.put(task)

    def _refuse(self, task: TaskLock) -> None:
        if task.task not in self.refused:
            self.refused.add(task.task)
            message = (
                f"{self._scheduler} gave a lock for task {task.task[:_SHOWN]} that nobody with the key of this fleet "
                "made; it is not believed. Is that the scheduler of this fleet? Who submits needs its key, too: "
                "glm-aria fleet key --help"
            )
            self.emit(Notice("lock-refused", message))

    def _drain(self, may_leave: bool) -> None:
        if may_leave:
            self.may_leave.set()

    def _welcome(self, scheduler: str) -> None:
        self._scheduler = scheduler
        self.welcomes += 1
        self._told.clear()
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeping = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while self.submit is not None:
            await asyncio.sleep(_TOLD)
            forgotten = [task for name, task in list(self._active.items()) if name not in self._told]
            if not forgotten:
                return
            for task in forgotten:
                with contextlib.suppress(GlmAriaError):
                    await self.submit(task)


def another_key(key: str, task: str) -> str:
    """The key of a further attempt, after the task of that key has ended and is not to be all there was."""
    return hashlib.sha256(f"{key}\n{task}".encode()).hexdigest()[:KEY]


def digests_of(lock: Lock) -> tuple[Digest, ...]:
    """The distinct blobs of a lock, as the catalogs of its models list them."""
    return tuple({file.digest: None for model in lock.models for file in model.tree().files})


def repos_of(lock: Lock) -> tuple[RepoId, ...]:
    """The repos of a lock."""
    return tuple({model.ref.repo: None for model in lock.models})


def confirmed(lock: Lock) -> str:
    """The lock, for people, with who listed its models."""
    return f"{LOCK}, as listed by {' and '.join(sorted({model.trust.source for model in lock.models}))}"


def name_of(lock: Lock) -> str:
    """The name of a task for people."""
    refs = [str(model.ref) for model in lock.models]
    return ", ".join(refs[:3]) + (f" and {len(refs) - 3} more" if refs[3:] else "")
