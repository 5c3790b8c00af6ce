"""Watching a task of a fleet: which one, and past schedulers that are away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.app.fleet import watching
from orchestrator.app.fleet.watching import TaskWatch, named
from orchestrator.errors import GlmAriaError, NotFoundError, TemporaryError, UsageError
from orchestrator.events import Event, Notice
from orchestrator.swarm.control.messages import TaskState, TaskStatus
from orchestrator.system.signals import Stop

Step = TaskState | GlmAriaError


@dataclass
class Fleet:
    """Schedulers that say what a test wants, one step after the other."""

    steps: list[Step] = field(default_factory=list)
    known: tuple[str, ...] = ("4f2a", "4f1b", "77aa")

    async def tasks(self) -> tuple[TaskStatus, ...]:
        return tuple(TaskStatus(one, "org/name", TaskState.RUNNING) for one in self.known)

    async def watch(self, task: str) -> AsyncIterator[TaskStatus]:
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, GlmAriaError):
                raise step
            yield TaskStatus(task, "org/name", step)

    def do(self, call: Callable[[Any], Coroutine[Any, Any, Any]], _stop: Stop) -> Any:
        return asyncio.run(call(self))


@pytest.mark.parametrize(("said", "task"), [("4f2", "4f2a"), ("77aa", "77aa"), (None, "77aa"), ("7", "77aa")])
def test_a_task_is_named_by_its_beginning(said: str | None, task: str) -> None:
    calls: Any = Fleet()
    assert asyncio.run(named(calls, said)) == task


def test_a_beginning_of_several_or_none_is_an_error() -> None:
    calls: Any = Fleet()
    with pytest.raises(UsageError, match="2 tasks"):
        asyncio.run(named(calls, "4f"))
    with pytest.raises(NotFoundError):
        asyncio.run(named(calls, "9"))
    calls.known = ("4f", "4f2a")
    assert asyncio.run(named(calls, "4f")) == "4f"


def test_a_scheduler_that_is_away_is_told_once_and_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_AGAIN", 0.0)
    said: list[Event] = []
    seen: list[TaskState] = []
    away = [TemporaryError("gone"), TemporaryError("no answer"), NotFoundError("unknown")]
    fleet: Any = Fleet([TaskState.RUNNING, *away, TaskState.RUNNING, TaskState.DONE])
    watch = TaskWatch("4f2", said.append, lambda status: seen.append(status.state))
    assert watch.until_the_end(fleet, Stop()).state is TaskState.DONE
    assert seen == [TaskState.RUNNING, TaskState.RUNNING, TaskState.DONE]
    assert [event.code for event in said if isinstance(event, Notice)] == ["scheduler-away"]


def test_who_never_answered_is_not_waited_for() -> None:
    fleet: Any = Fleet([TemporaryError("nobody")])
    with pytest.raises(TemporaryError):
        TaskWatch(None, lambda _: None, lambda _: None).until_the_end(fleet, Stop())
