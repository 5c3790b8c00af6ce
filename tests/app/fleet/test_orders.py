"""What schedulers say to a node, and what they forget."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.app.fleet import orders
from orchestrator.app.fleet.orders import KEY, OrderBook, another_key, confirmed, digests_of, name_of
from orchestrator.core.refs import parse_ref
from orchestrator.core.trust import Trust
from orchestrator.errors import TemporaryError
from orchestrator.events import Event, Notice
from orchestrator.lists.lockfile import Lock, LockedFile, LockedModel, render_lock
from orchestrator.swarm.control.access import sealed
from orchestrator.swarm.control.messages import Submission, TaskLock, task_of
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.system.signals import Stop

FILES = (LockedFile.of_lfs("a.bin", 9, "ab" * 32), LockedFile("b.json", 3, "cd" * 20, "ef" * 32))
LOCK = Lock((LockedModel(parse_ref("org/name@main"), "a" * 40, Trust("root", "https://huggingface.co"), FILES),))
KEYS = FleetKeys((b"k" * 32,))
ASKED = sealed(KEYS, Submission("key", "org/name", lock=render_lock(LOCK)))
TASK = TaskLock(task_of("key"), ASKED.lock, seal=ASKED.seal)


def book_of(said: list[Event]) -> OrderBook:
    return OrderBook(KEYS, said.append)


def test_a_task_is_taken_once_and_its_blobs_are_expected_each_time() -> None:
    expected: list[object] = []
    book = book_of([])
    book.expect = lambda task, digests: expected.append((task, set(digests)))
    told = book.orders()
    told.task(TASK)
    told.task(TASK)
    assert expected == [(TASK.task, set(digests_of(LOCK)))] * 2
    assert {str(digest) for digest in digests_of(LOCK)} == {f"sha256:{'ab' * 32}", f"git-sha1:{'cd' * 20}"}
    assert book.tasks.get_nowait() == TASK
    assert book.tasks.empty()
    book.ended(TASK.task)
    told.task(TASK)
    assert book.tasks.get_nowait() == TASK


@pytest.mark.parametrize(
    "other",
    [
        replace(TASK, seal=""),
        replace(TASK, seal="é"),
        replace(TASK, seal=sealed(FleetKeys((b"s" * 32,)), ASKED).seal),
        replace(TASK, lock=TASK.lock.replace("aaaa", "bbbb")),
        replace(TASK, is_restricted=True),
        replace(TASK, task="another"),
    ],
)
def test_a_lock_that_no_member_made_is_as_good_as_not_told(other: TaskLock) -> None:
    said: list[Event] = []
    book, expected = book_of(said), []
    book.expect = lambda task, digests: expected.append((task, digests))
    told = book.orders()
    told.task(other)
    told.task(other)
    assert book.tasks.empty()
    assert expected == []
    assert book.refused == {other.task}
    assert [notice.code for notice in said if isinstance(notice, Notice)] == ["lock-refused"]


def test_a_task_that_is_cancelled_stops_and_is_no_task_any_more() -> None:
    book, stop, late = book_of([]), Stop(), Stop()
    told = book.orders()
    told.task(TASK)
    book.tasks.get_nowait()
    with book.stopping(TASK.task, stop):
        assert not stop.is_set()
        told.cancelled(TASK.task)
        assert stop.is_set()
    told.task(TASK)
    assert book.tasks.empty()
    with book.stopping(TASK.task, late):
        assert late.is_set()


def test_a_task_that_was_cancelled_before_it_began_is_not_submitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "_TOLD", 0.01)

    async def work() -> None:
        book, submitted = book_of([]), list[TaskLock]()

        async def submit(task: TaskLock) -> None:
            submitted.append(task)

        book.submit = submit
        told = book.orders()
        told.task(TASK)
        told.cancelled(TASK.task)
        told.welcome("s1")
        async with asyncio.timeout(20):
            assert book._keeping is not None
            await book._keeping
        assert not submitted

    asyncio.run(work())


def test_a_task_that_a_scheduler_does_not_tell_is_submitted_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "_TOLD", 0.01)

    async def work() -> None:
        book, submitted = book_of([]), asyncio.Queue[TaskLock]()

        async def submit(task: TaskLock) -> None:
            submitted.put_nowait(task)
            if submitted.qsize() < 2:
                raise TemporaryError("not now")
            book.orders().task(task)

        book.submit = submit
        told = book.orders()
        told.task(TASK)
        told.welcome("head:8091")
        async with asyncio.timeout(20):
            while book._keeping is None or not book._keeping.done():
                await asyncio.sleep(0.01)
        assert submitted.qsize() == 2
        told.welcome("head:8091")
        told.task(TASK)
        await asyncio.sleep(0.05)
        assert submitted.qsize() == 2

    asyncio.run(work())


def test_each_attempt_has_a_key_of_its_own() -> None:
    keys = {"a" * KEY, another_key("a" * KEY, "t1"), another_key("a" * KEY, "t2"), another_key("b" * KEY, "t1")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {KEY}


def test_what_only_tasks_of_long_ago_list_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "KEPT", 1)
    model = LOCK.models[0]
    tasks = []
    for number, files in enumerate([FILES[:1], FILES[1:], FILES[1:], FILES[1:]]):
        asked = Submission(f"key-{number}", "org/name", lock=render_lock(Lock((replace(model, files=files),))))
        tasks.append(TaskLock(task_of(asked.key), asked.lock, seal=sealed(KEYS, asked).seal))
    book, gone = book_of([]), []
    book.forget = lambda task, digests: gone.append((task, set(map(str, digests))))
    told = book.orders()
    for task in tasks:
        told.task(task)
    for task in tasks:
        book.ended(task.task)
    assert gone == [(tasks[0].task, {f"sha256:{'ab' * 32}"}), (tasks[1].task, set()), (tasks[2].task, set())]


def test_the_name_of_a_task_is_short() -> None:
    models = [LockedModel(parse_ref(f"org/m{n}@main"), "a" * 40, LOCK.models[0].trust, ()) for n in range(5)]
    assert name_of(Lock(tuple(models))) == "org/m0@main, org/m1@main, org/m2@main and 2 more"


def test_who_confirmed_a_lock_is_named() -> None:
    assert confirmed(LOCK) == "the lock of the fleet, as listed by https://huggingface.co"
