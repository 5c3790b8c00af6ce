"""A fleet for the page and the metrics of a server, which looks on at the schedulers while somebody looks at it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from orchestrator.app.fleet.control import calling
from orchestrator.core.text import redacted
from orchestrator.errors import GlmAriaError, NotFoundError
from orchestrator.serve.pages.fleet import SeenFleet, SeenNode, SeenShare, SeenTask
from orchestrator.settings import Settings
from orchestrator.swarm.view import NodeState
from orchestrator.system.signals import Stop

if TYPE_CHECKING:
    from orchestrator.app.fleet.control import Calling
    from orchestrator.events import Emit
    from orchestrator.swarm.control.line import FleetCalls
    from orchestrator.swarm.control.messages import NodeStatus, TaskReport, TaskStatus

_MOST_TASKS = 8
"""The newest tasks, of which the nodes are asked for, too."""


class FleetShow:
    """Asks the schedulers of the settings how the fleet is, each time that it is called: a `SeeFleet`. The first call
    connects to them. A context manager; thread-safe."""

    def __init__(self, settings: Settings, stop: Stop, emit: Emit) -> None:
        self._settings = settings
        self._stop = stop
        self._emit = emit
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._calling: Calling | None = None
        self._refusal: GlmAriaError | None = None
        self._ended: dict[str, TaskStatus] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        with self._lock:
            self._open.close()

    def __call__(self) -> SeenFleet:
        """See `SeeFleet`."""
        with self._lock:
            try:
                return self._reached().do(self._look, self._stop)
            except GlmAriaError as error:
                return SeenFleet(error=redacted(error.message))

    def _reached(self) -> Calling:
        """The way to the schedulers. Raises what is wrong here: that it does until the server is started again."""
        if self._refusal is not None:
            raise self._refusal
        if self._calling is None:
            try:
                self._calling = self._open.enter_context(calling(self._settings, self._emit))
            except GlmAriaError as error:
                self._refusal = error
                raise
        return self._calling

    async def _look(self, calls: FleetCalls) -> SeenFleet:
        nodes, tasks = await calls.nodes(), await calls.tasks()
        newest = [await self._whole(calls, task) for task in tasks[-_MOST_TASKS:]]
        self._ended = {task.id: task for task in newest if task.state.has_ended}
        return seen_of(nodes, (*tasks[:-_MOST_TASKS], *newest))

    async def _whole(self, calls: FleetCalls, task: TaskStatus) -> TaskStatus:
        """A task with its nodes, which a list has not."""
        last = self._ended.get(task.id)
        if last is not None and (last.state, last.egress) == (task.state, task.egress):
            return last
        with suppress(NotFoundError):  # it was forgotten just now
            async for told in calls.watch(task.id):
                return told
        return task


def seen_of(nodes: Iterable[NodeStatus], tasks: Iterable[TaskStatus]) -> SeenFleet:
    """A fleet as a server shows it."""
    seen = tuple(map(_node, nodes))
    counts = Counter(node.state for node in seen)
    return SeenFleet(seen, tuple(map(_task, tasks)), {state.value: counts[state] for state in NodeState})


def _node(one: NodeStatus) -> SeenNode:
    return SeenNode(
        name=redacted(one.id),
        state=one.state,
        zone=redacted("/".join(filter(None, (one.site, one.zone)))),
        address=redacted(one.address),
        rate=one.rate,
        leases=one.leases,
        held=one.held,
        silent=round(one.silent, 1),
    )


def _task(one: TaskStatus) -> SeenTask:
    shares = {redacted(node): _share(told) for node, told in one.nodes.items()}
    return SeenTask(one.id, redacted(one.name), one.state, one.size, one.egress, one.is_restricted, shares)


def _share(told: TaskReport) -> SeenShare:
    senders = {redacted(sender): count for sender, count in told.senders.items()}
    return SeenShare(told.phase, told.done, told.from_origin, senders)
