"""A task of a fleet watched to its end, over schedulers that go away and come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.errors import Interrupted, NotFoundError, TemporaryError, UsageError
from orchestrator.events import Emit, Notice
from orchestrator.system.signals import Stop

if TYPE_CHECKING:
    from orchestrator.app.fleet.control import Calling
    from orchestrator.swarm.control.line import FleetCalls
    from orchestrator.swarm.control.messages import TaskStatus

_AWAY = 60.0
"""Seconds for a scheduler to be back, and to hear from the nodes what they are at."""
_AGAIN = 1.0
_LIST = "glm-aria fleet ls"


class TaskWatch:
    """Tells `see` how a task goes: the one whose id begins with `task`, or the newest one."""

    def __init__(self, task: str | None, emit: Emit, see: Callable[[TaskStatus], None]) -> None:
        self.task = task
        self._emit = emit
        self._see = see
        self._last: TaskStatus | None = None
        self._away: float | None = None

    def until_the_end(self, fleet: Calling, stop: Stop) -> TaskStatus:
        """The task at its end. A scheduler that answered once can be away for 60 s then.

        Raises NotFoundError, UsageError for a beginning of several, Interrupted, TemporaryError.
        """
        while True:
            try:
                return fleet.do(self._follow, stop)
            except (TemporaryError, NotFoundError) as error:
                now = time.monotonic()
                if self._last is None or (self._away is not None and now - self._away > _AWAY):
                    raise
                if self._away is None:
                    self._away = now
                    self._emit(Notice("scheduler-away", f"{error.message}; the nodes go on, and this looks again"))
            if stop.wait(_AGAIN):
                raise Interrupted(stop.signal_number)

    async def _follow(self, calls: FleetCalls) -> TaskStatus:
        self.task = await named(calls, self.task)
        async for status in calls.watch(self.task):
            self._last, self._away = status, None
            self._see(status)
        if self._last is None or not self._last.state.has_ended:
            raise TemporaryError("the scheduler ended the connection")
        return self._last


async def named(calls: FleetCalls, task: str | None) -> str:
    """The id of the task that begins so, or of the newest one. Raises NotFoundError, UsageError."""
    known = [one.id for one in await calls.tasks()]
    if task is None:
        if not known:
            raise NotFoundError("the fleet has no task", hint="glm-aria fleet submit org/name")
        return known[-1]
    found = [task] if task in known else [one for one in known if one.startswith(task)]
    if len(found) > 1:
        raise UsageError(f"{len(found)} tasks of the fleet begin with {task!r}", hint=f"write more of it: {_LIST}")
    if not found:
        raise NotFoundError(f"the fleet has no task {task!r}", hint=_LIST)
    return found[0]
