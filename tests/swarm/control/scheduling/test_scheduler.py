"""Schedulers in an event loop: tasks, those who watch them, and a board that is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.files import MAX_FILE
from orchestrator.errors import NotFoundError, TemporaryError, UnsafeError, UsageError
from orchestrator.events import Event, Notice
from orchestrator.swarm.board.interface import BoardAnswer, FleetBoard, Mark, Register
from orchestrator.swarm.board.memory import MemoryBoard
from orchestrator.swarm.board.redis import RedisBoard
from orchestrator.swarm.control.line import LocalScheduler
from orchestrator.swarm.control.messages import (
    LEFT,
    Assign,
    BlobProgress,
    Bye,
    FromScheduler,
    Hello,
    NodePhase,
    OriginBusy,
    Progress,
    Submission,
    TaskLock,
    TaskReport,
    TaskState,
    TaskStatus,
    task_of,
)
from orchestrator.swarm.control.scheduling.listing import TaskListing
from orchestrator.swarm.control.scheduling.scheduler import CLAIM, Scheduler, turn_of
from orchestrator.swarm.view import NodeState
from tests.servers.redis import RedisServer
from tests.swarm.board.keys import KEYS
from tests.swarm.control.scheduling.simulated import MB, lock_of

Make = Callable[[], FleetBoard]
LOCK = lock_of([8 * MB])
ASKED = Submission("key", "org/name", "*", 0, LOCK, seal="its seal")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def scheduler(board: FleetBoard, name: str = "s1", clock: Clock | None = None) -> Scheduler:
    return Scheduler(board, name, lambda _: None, clock=clock or Clock())


def together(work: Callable[[], Awaitable[None]], *schedulers: Scheduler) -> None:
    """Do something while schedulers run."""

    async def both() -> None:
        async with asyncio.timeout(30):
            running = [asyncio.create_task(one.run()) for one in schedulers]
            await work()
            for task in running:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    asyncio.run(both())


def test_the_same_key_is_the_same_task(another: Make) -> None:
    one, other = scheduler(another()), scheduler(another(), "s2")

    async def work() -> None:
        made, found = await asyncio.gather(one.submit(ASKED), other.submit(ASKED))
        assert made.id == found.id == task_of("key")
        assert (made.name, made.size, made.state) == ("org/name", 8 * MB, TaskState.SUBMITTED)
        again = await other.submit(Submission("key", "other", lock=lock_of([1])))
        assert again.size == 8 * MB
        assert [task.id for task in one.tasks()] == [made.id]

    together(work, one, other)


def test_a_fleet_has_so_many_tasks_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.swarm.control.scheduling.scheduler._MOST_TASKS", 2)
    one = scheduler(MemoryBoard())

    async def work() -> None:
        for key in ("a", "b", "a"):
            await one.submit(Submission(key, "n"))
        with pytest.raises(TemporaryError, match="2 tasks"):
            await one.submit(Submission("c", "n"))
        assert len(one.tasks()) == 2

    together(work, one)


def test_a_lock_file_that_is_none_is_refused() -> None:
    one = scheduler(MemoryBoard())

    async def work() -> None:
        for asked in (Submission("k", "n", lock="nonsense"), Submission("k", "n" * 600, lock=LOCK)):
            with pytest.raises(UsageError):
                await one.submit(asked)
        assert one.tasks()[0].state is TaskState.UNLISTED

    together(work, one)


def test_a_file_that_no_disk_holds_makes_no_task() -> None:
    one = scheduler(MemoryBoard())

    async def work() -> None:
        for size in (2**62, MAX_FILE + 1):
            with pytest.raises(UnsafeError):
                await one.submit(Submission("k", "n", lock=lock_of([8 * MB]).replace(str(8 * MB), str(size))))
        assert (await one.submit(ASKED)).size == 8 * MB

    together(work, one)


def test_a_scheduler_that_a_bug_ends_says_so_and_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Event] = []
    one = Scheduler(MemoryBoard(), "s1", said.append)
    local = LocalScheduler(one)

    async def work() -> None:
        running = asyncio.create_task(one.run())
        task = (await one.submit(ASKED)).id
        watched = asyncio.create_task(_all_of(one.changes(task)))
        async with local.line(Hello("n1", 1, "http://n1:1")) as line:
            monkeypatch.setattr(one._core, "propose", _bug)
            with pytest.raises(OverflowError):
                await running
            with pytest.raises(TemporaryError, match="bug ended"):
                await line.say(1, Progress())
        with pytest.raises(TemporaryError, match="bug ended"):
            async with local.line(Hello("n1", 1, "http://n1:1")):
                pass
        with pytest.raises(TemporaryError, match="bug ended"):
            await watched
        for asked in (one.submit(Submission("other", "n", lock=LOCK)), one.cancel(task), one.drain("n1")):
            with pytest.raises(TemporaryError, match="bug ended"):
                await asked

    asyncio.run(asyncio.wait_for(work(), 30))
    assert [(event.code, "OverflowError" in event.message) for event in said if isinstance(event, Notice)] == [
        ("scheduler-ended", True)
    ]


def test_who_waits_when_a_bug_ends_a_scheduler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    one = scheduler(MemoryBoard())
    monkeypatch.setattr(one._core, "propose", _bug)

    async def work() -> None:
        asked = asyncio.create_task(one.submit(ASKED))
        await asyncio.sleep(0)
        with pytest.raises(OverflowError):
            await one.run()
        with pytest.raises(TemporaryError, match="bug ended"):
            await asked

    asyncio.run(asyncio.wait_for(work(), 30))


def _bug(_now: float) -> Any:
    raise OverflowError("int too large to convert to float")


async def _all_of(found: AsyncIterator[TaskStatus]) -> list[TaskStatus]:
    return [one async for one in found]


def test_one_node_makes_the_lock_file_of_a_task(another: Make) -> None:
    clock = Clock()
    one, other = scheduler(another(), clock=clock), scheduler(another(), "s2", clock)

    async def work() -> None:
        asked = [Submission("key", "org/name", node=f"n{index}") for index in range(2)]
        told = await asyncio.gather(one.submit(asked[0]), other.submit(asked[1]))
        assert sorted(status.is_lock_yours for status in told) == [False, True]
        assert {status.state for status in told} == {TaskState.UNLISTED}
        mine = next(index for index, status in enumerate(told) if status.is_lock_yours)
        assert (await one.submit(asked[mine])).is_lock_yours
        assert not (await other.submit(asked[1 - mine])).is_lock_yours
        clock.now += CLAIM + 1
        assert (await other.submit(asked[1 - mine])).is_lock_yours
        listed = await other.submit(Submission("key", "org/name", lock=LOCK, node=f"n{1 - mine}"))
        assert (listed.state, listed.is_lock_yours) == (TaskState.SUBMITTED, False)

    together(work, one, other)


def test_a_node_that_lives_may_take_its_time_for_the_lock_file_of_a_task() -> None:
    clock = Clock()
    one = scheduler(MemoryBoard(), clock=clock)

    async def work() -> None:
        one.connect(Hello("n1", 1, "http://n1:1"), lambda _: None)
        assert (await one.submit(Submission("key", "org/name", node="n1"))).is_lock_yours
        for seq in range(1, 20):
            clock.now += CLAIM / 10
            one.hear("n1", 1, seq, Progress())
            assert not (await one.submit(Submission("key", "org/name", node="n2"))).is_lock_yours
        one.hear("n1", 1, 20, Bye())
        assert (await one.submit(Submission("key", "org/name", node="n2"))).is_lock_yours

    together(work, one)


def test_a_task_is_followed_until_all_nodes_have_it(another: Make) -> None:
    one, other = scheduler(another()), scheduler(another(), "s2")
    told: asyncio.Queue[FromScheduler] = asyncio.Queue()
    listing = TaskListing.of("t", LOCK)

    async def work() -> None:
        made = await one.submit(ASKED)
        other.connect(Hello("n1", 1, "http://n1:1", takes_tasks=True), told.put_nowait)
        other.hear("n1", 1, 1, Progress())
        states = []
        async for status in one.changes(made.id):
            states.append(status.state)
            if status.state is TaskState.RUNNING and states.count(TaskState.RUNNING) == 1:
                assert await told.get() == TaskLock(made.id, LOCK, 0, seal="its seal")
                lease = await told.get()
                assert isinstance(lease, Assign)
                (digest,) = listing.large
                assert (lease.digest, lease.start, lease.end) == (digest, 0, 4 * MB)
                other.hear("n1", 1, 2, Progress((BlobProgress(digest, b"", is_whole=True),)))
                other.hear("n1", 1, 3, TaskReport(made.id, NodePhase.PLACED, done=8 * MB, from_origin=8 * MB))
        assert states[-1] is TaskState.DONE
        assert (status.egress, list(status.nodes)) == (8 * MB, ["n1"])

    together(work, one, other)


def test_nodes_drain_and_tasks_are_cancelled_by_any_scheduler(another: Make) -> None:
    one, other = scheduler(another()), scheduler(another(), "s2")
    told: list[FromScheduler] = []

    async def work() -> None:
        one.connect(Hello("n1", 1, "http://n1:1", takes_tasks=True), told.append)
        one.hear("n1", 1, 1, Progress())
        made = await one.submit(ASKED)
        await one.submit(ASKED)
        while not other.nodes():
            await asyncio.sleep(0)
        assert (await other.drain("n1")).state is NodeState.DRAINING
        assert (await other.cancel(made.id)).state is TaskState.CANCELLED
        async for status in one.changes(made.id):
            # Who is to leave begins with nothing, so nobody may be at it.
            assert status.state in (TaskState.SUBMITTED, TaskState.RUNNING, TaskState.CANCELLED)
        for asking in (other.drain("n2"), other.cancel("t2"), anext(other.changes("t2"))):
            with pytest.raises(NotFoundError):
                await asking

    together(work, one, other)


def test_a_node_that_left_before_its_end_has_failed() -> None:
    one = scheduler(MemoryBoard())

    async def work() -> None:
        one.connect(Hello("n1", 1, "http://n1:1", takes_tasks=True), lambda _: None)
        made = await one.submit(ASKED)
        one.hear("n1", 1, 1, TaskReport(made.id, NodePhase.FETCHING, done=MB))
        one.hear("n1", 1, 2, Bye())
        *_, last = [status async for status in one.changes(made.id)]
        assert last.state is TaskState.PARTIAL
        assert last.nodes["n1"] == TaskReport(made.id, NodePhase.FAILED, LEFT, done=MB)

    together(work, one)


def test_the_newest_task_is_the_last_for_who_comes_later_too(another: Make) -> None:
    one, late = scheduler(another()), scheduler(another(), "s2")

    async def work() -> None:
        keys = ("a", "b", "c", "d", "e")
        made = []
        for key in keys:
            made.append((await one.submit(Submission(key, key, lock=LOCK))).id)
            began = time.time_ns() // 1_000_000
            while time.time_ns() // 1_000_000 == began:
                await asyncio.sleep(0)
        await late.turn()
        assert [[task.id for task in found.tasks()] for found in (one, late)] == [made, made]

    together(work, one)


def test_a_board_that_is_away_is_told_once_and_nothing_ends(tmp_path: Path) -> None:
    said: list[Event] = []
    with RedisServer(tmp_path) as server:
        board = RedisBoard(server.url, "f", KEYS)
        one = Scheduler(board, "s1", said.append)

        async def work() -> None:
            made = await one.submit(ASKED)
            server.kill()
            for _ in range(2):
                with pytest.raises(TemporaryError):
                    await one.submit(Submission("other", "org/name", lock=LOCK))
            assert (await one.submit(ASKED)).id == made.id
            server.start()
            while True:
                with suppress(TemporaryError):
                    await one.submit(Submission("third", "org/name", lock=LOCK))
                    break
            late = Scheduler(RedisBoard(server.url, "f", KEYS), "s2", said.append)
            await late.turn()
            while len(late.tasks()) < 2:
                await late.turn()
            assert {made.id, task_of("third")} <= {task.id for task in late.tasks()}

        together(work, one)
        board.close()
    assert [event.code for event in said if isinstance(event, Notice)] == ["board-lost"]


def test_a_board_that_stands_still_does_not_hold_up_nodes(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        board = RedisBoard(server.url, "f", KEYS)
        one = scheduler(board)

        async def work() -> None:
            made = await one.submit(ASKED)
            server.hold()
            asking = asyncio.create_task(one.submit(Submission("other", "org/name", lock=LOCK)))
            heard = 0
            while not asking.done():
                one.connect(Hello(f"n{heard}", 1, "http://n:1", takes_tasks=True), lambda _: None)
                one.hear(f"n{heard}", 1, 1, Progress())
                heard += 1
                await asyncio.sleep(0.01)
            with pytest.raises(TemporaryError):
                await asking
            assert heard > 10
            assert len(one.nodes()) == heard
            assert (await one.submit(ASKED)).id == made.id
            server.go_on()
            while True:
                with suppress(TemporaryError):
                    await one.cancel(made.id)
                    break
            late = scheduler(RedisBoard(server.url, "f", KEYS), "s2")
            await late.turn()
            assert len(late.nodes()) == heard

        together(work, one)
        board.close()


@pytest.mark.parametrize(("schedulers", "seconds"), [(0, 0.25), (1, 0.25), (16, 0.25), (64, 1.0), (1000, 2.0)])
def test_many_schedulers_take_fewer_turns(schedulers: int, seconds: float) -> None:
    assert turn_of(schedulers) == seconds


def test_a_task_that_ended_is_forgotten_after_a_day() -> None:
    clock = Clock()
    one = scheduler(MemoryBoard(), clock=clock)

    async def work() -> Any:
        asking = asyncio.create_task(one.submit(ASKED))
        while not asking.done():
            await one.turn()
        made = await asking
        cancelling = asyncio.create_task(one.cancel(made.id))
        while not cancelling.done():
            await one.turn()
        for hour in range(26):
            clock.now += 3600
            await one.turn()
            assert bool(one.tasks()) is (hour < 25)

    asyncio.run(work())


def test_who_asks_before_the_first_turn_is_told_what_the_board_has(another: Make) -> None:
    one, late = scheduler(another()), scheduler(another(), "s2")

    async def work() -> None:
        one.connect(Hello("n1", 1, "http://n1:1"), lambda _: None)
        await one.submit(ASKED)
        running = asyncio.create_task(late.run())
        async with LocalScheduler(late).calls() as calls:
            assert [node.id for node in await calls.nodes()] == ["n1"]
            assert len(await calls.tasks()) == 1
        running.cancel()

    together(work, one)


def test_an_origin_that_is_left_alone_and_a_shelf_that_is_left_out_are_told() -> None:
    class Overfull(MemoryBoard):
        def exchange(self, puts: Sequence[Register], after: Mark | None) -> BoardAnswer:
            answer = super().exchange(puts, after)
            return replace(answer, left_out=("task:x",)) if after is None else answer

    said: list[Event] = []
    one = Scheduler(Overfull(), "s1", said.append)

    async def work() -> None:
        made = await one.submit(ASKED)
        hello = Hello("n1", 1, "http://n1")
        one.connect(hello, lambda _: None)
        for seq, seconds in enumerate((20, 19, 60)):
            one.hear("n1", 1, seq + 1, OriginBusy("huggingface", seconds))
            await one.turn()
        assert made.id

    together(work, one)
    told = [event for event in said if isinstance(event, Notice)]
    assert [notice.code for notice in told] == ["board-shelf", "origin-busy", "origin-busy"]
    assert "task:x" in told[0].message
