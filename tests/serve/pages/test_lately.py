"""Results that are looked at again when they are old."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from orchestrator.errors import DiskIOError
from orchestrator.serve.pages.lately import Lately
from tests.plain import Clock


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as made:
        yield made


def test_a_step_is_done_once_in_a_while(pool: Executor) -> None:
    clock, done = Clock(), []

    async def look() -> list[int | None]:
        lately = Lately(lambda: done.append(1) or len(done), 5, pool, clock)
        found = [await lately.get(10), await lately.get(10)]
        clock.now += 6
        return [*found, await lately.get(10)]

    assert asyncio.run(look()) == [1, 1, 2]


def test_what_fails_or_takes_long_leaves_the_last_result(pool: Executor) -> None:
    clock, gate, steps = Clock(), threading.Event(), iter(("first", "error", "late"))

    def step() -> str:
        match next(steps):
            case "error":
                raise DiskIOError("no")
            case "late":
                gate.wait(20)
                return "late"
        return "first"

    async def look() -> list[str | None]:
        lately, found = Lately(step, 5, pool, clock), []
        for patience in (10.0, 10.0, 0.01):
            found.append(await lately.get(patience))
            clock.now += 6
        gate.set()
        return [*found, await lately.get(10)]

    assert asyncio.run(look()) == ["first", "first", "first", "late"]


def test_what_takes_long_is_done_less_often(pool: Executor) -> None:
    clock, done = Clock(), []

    def step() -> int:
        clock.now += 10
        done.append(1)
        return len(done)

    async def look(longest: float) -> list[int | None]:
        lately = Lately(step, 5, pool, clock, longest=longest)
        found = [await lately.get(10)]
        for seconds in (100, 101):
            clock.now += seconds
            found.append(await lately.get(10))
        return found

    assert asyncio.run(look(math.inf)) == [1, 1, 2]
    assert asyncio.run(look(60)) == [3, 4, 5]
