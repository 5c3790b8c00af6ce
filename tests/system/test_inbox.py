"""One wait: what workers bring, and what others put in, comes out in one place and in order."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Executor
from typing import NoReturn

import pytest

from orchestrator.system.inbox import Inbox
from orchestrator.system.threads import KeyedPools, MakePool, Pool, SerialPool

LONG = 30.0


def fail() -> NoReturn:
    raise ValueError("broken")


@pytest.fixture(params=[Pool, SerialPool])
def make_pool(request: pytest.FixtureRequest) -> MakePool:
    made: MakePool = request.param
    return made


def test_what_is_put_comes_out_in_order() -> None:
    inbox: Inbox[int] = Inbox()
    for number in range(3):
        inbox.put(number)
    assert list(inbox.take(0)) == [0, 1, 2]
    assert list(inbox.take(0)) == []


def test_a_message_that_comes_while_others_are_taken_is_taken_with_them() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.put(3)
    taken = []
    for number in inbox.take(0):
        taken.append(number)
        if number:
            inbox.put(number - 1)
    assert taken == [3, 2, 1, 0]


def test_nothing_comes_in_time() -> None:
    begun = time.monotonic()
    assert list(Inbox[int]().take(begun + 0.05)) == []
    assert time.monotonic() >= begun + 0.05


def test_another_thread_ends_the_wait() -> None:
    inbox: Inbox[str] = Inbox()
    threading.Timer(0.02, inbox.put, ["late"]).start()
    assert list(inbox.take(math.inf)) == ["late"]
    threading.Timer(0.02, inbox.wake).start()
    assert list(inbox.take(time.monotonic() + LONG)) == []


def test_a_result_is_a_message(make_pool: MakePool) -> None:
    inbox: Inbox[int] = Inbox(make_pool)
    pool = inbox.make_pool(1, "work")
    inbox.submit(pool, pow, 2, 5)
    assert list(inbox.take(math.inf)) == [32]
    pool.shutdown()


def test_an_error_is_raised_where_results_are_taken(make_pool: MakePool) -> None:
    inbox: Inbox[int] = Inbox(make_pool)
    pool = inbox.make_pool(1, "work")
    inbox.submit(pool, fail)
    with pytest.raises(ValueError, match="broken"):
        list(inbox.take(math.inf))
    pool.shutdown()


def test_a_step_that_was_not_begun_leaves_nothing() -> None:
    inbox: Inbox[int] = Inbox()
    pool, may_go = inbox.make_pool(1, "work"), threading.Event()
    inbox.submit(pool, lambda: int(may_go.wait(LONG)))
    inbox.submit(pool, pow, 2, 5)
    pool.shutdown(wait=False, cancel_futures=True)
    may_go.set()
    assert [one for _ in range(2) for one in inbox.take(time.monotonic() + LONG)] == [1]


def test_without_threads_all_is_done_while_it_is_submitted() -> None:
    inbox: Inbox[str] = Inbox(SerialPool)
    inbox.submit(inbox.make_pool(8, "work"), lambda: threading.current_thread().name)
    assert list(inbox.take(0)) == [threading.current_thread().name]


def test_each_key_has_threads_of_its_own() -> None:
    may_go, done = threading.Event(), threading.Semaphore(0)
    pools = KeyedPools(Pool, 1, "work", done.release)
    waiting = pools.submit("slow", may_go.wait, LONG)
    assert pools.submit("fast", pow, 2, 5).result(LONG) == 32
    assert not waiting.done()
    may_go.set()
    assert done.acquire(timeout=LONG)
    assert done.acquire(timeout=LONG)
    pools.close()


def test_the_bounds_of_a_pool_are_passed_on() -> None:
    made: list[tuple[int, str]] = []

    def make_pool(most: int, name: str) -> Executor:
        made.append((most, name))
        return SerialPool()

    pools = KeyedPools(make_pool, 3, "work", lambda: None)
    assert [pools.submit(key, str, key).result() for key in ("a", "b", "a")] == ["a", "b", "a"]
    assert made == [(3, "work")] * 2
