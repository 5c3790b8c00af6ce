"""What schedulers say to a node, and what they forget."""

import asyncio

import pytest

from orchestrator.app.fleet import orders
from orchestrator.app.fleet.orders import KEY, OrderBook, another_key, digests_of, name_of
from orchestrator.core.refs import parse_ref
from orchestrator.core.trust import Trust
from orchestrator.errors import TemporaryError
from orchestrator.lists.lockfile import Lock, LockedFile, LockedModel, render_lock
from orchestrator.swarm.control.messages import TaskLock

FILES = (LockedFile.of_lfs("a.bin", 9, "ab" * 32), LockedFile("b.json", 3, "cd" * 20, "ef" * 32))
LOCK = Lock((LockedModel(parse_ref("org/name@main"), "a" * 40, Trust("root", "https://huggingface.co"), FILES),))
TASK = TaskLock("task-1", render_lock(LOCK))


def test_a_task_is_taken_once_and_its_blobs_are_expected_each_time() -> None:
    book, expected = OrderBook(), []
    book.expect = lambda task, digests: expected.append((task, set(digests)))
    told = book.orders()
    told.task(TASK)
    told.task(TASK)
    assert expected == [("task-1", set(digests_of(LOCK)))] * 2
    assert {str(digest) for digest in digests_of(LOCK)} == {f"sha256:{'ab' * 32}", f"git-sha1:{'cd' * 20}"}
    assert book.tasks.get_nowait() == TASK
    assert book.tasks.empty()
    book.ended("task-1")
    told.task(TASK)
    assert book.tasks.get_nowait() == TASK


def test_a_task_that_a_scheduler_does_not_tell_is_submitted_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "_TOLD", 0.01)

    async def work() -> None:
        book, submitted = OrderBook(), asyncio.Queue[TaskLock]()

        async def submit(task: TaskLock) -> None:
            submitted.put_nowait(task)
            if submitted.qsize() < 2:
                raise TemporaryError("not now")
            book.orders().task(task)

        book.submit = submit
        told = book.orders()
        told.task(TASK)
        told.welcome()
        async with asyncio.timeout(20):
            while book._keeping is None or not book._keeping.done():
                await asyncio.sleep(0.01)
        assert submitted.qsize() == 2
        told.welcome()
        told.task(TASK)
        await asyncio.sleep(0.05)
        assert submitted.qsize() == 2

    asyncio.run(work())


def test_each_attempt_has_a_key_of_its_own() -> None:
    keys = {"a" * KEY, another_key("a" * KEY, "t1"), another_key("a" * KEY, "t2"), another_key("b" * KEY, "t1")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {KEY}


def test_the_name_of_a_task_is_short() -> None:
    models = [LockedModel(parse_ref(f"org/m{n}@main"), "a" * 40, LOCK.models[0].trust, ()) for n in range(5)]
    assert name_of(Lock(tuple(models))) == "org/m0@main, org/m1@main, org/m2@main and 2 more"
