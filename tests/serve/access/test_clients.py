"""The pace and the turns of a client."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from orchestrator.serve.access import clients
from orchestrator.serve.access.clients import ClientLimits, Clients
from orchestrator.serve.http.once import ClientTurns, Once
from orchestrator.serve.http.refusals import Refused


def test_all_answers_of_a_client_share_its_speed() -> None:
    async def run() -> None:
        known = Clients(ClientLimits(requests=9, speed=1000))
        with known.asking("a") as first, known.asking("a") as second, known.asking("b") as other:
            assert first(5000) == pytest.approx(5, abs=1)
            assert second(5000) == pytest.approx(10, abs=1)
            assert other(1000) == pytest.approx(1, abs=0.5)

    asyncio.run(run())


def test_a_client_that_comes_again_has_not_been_forgotten() -> None:
    async def run() -> None:
        known = Clients(ClientLimits(requests=9, speed=1000))
        with known.asking("a") as pace:
            pace(5000)
        with known.asking("a") as pace:
            assert pace(1000) > 5

    asyncio.run(run())


def test_clients_without_number_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_MOST_KNOWN", 10)
    known = Clients(ClientLimits(requests=1))
    with ExitStack() as stack:
        stack.enter_context(known.asking("busy"))
        for number in range(100):
            with known.asking(f"client {number}"):
                pass
        assert len(known._known) <= 11
        with pytest.raises(Refused), known.asking("busy"):
            pass


def test_one_client_cannot_take_all_threads() -> None:
    async def run() -> None:
        may_end, running = threading.Event(), threading.Semaphore(0)

        def step() -> None:
            running.release()
            may_end.wait(20)

        with ThreadPoolExecutor(4) as pool:
            once = Once(pool, each=2)
            waiting = [asyncio.ensure_future(once.do(number, step, 20, client="greedy")) for number in range(10)]
            for _ in range(2):
                assert await asyncio.to_thread(running.acquire, timeout=20)
            assert await once.do("mine", lambda: "answer", 20, client="other") == "answer"
            assert not running.acquire(blocking=False)
            may_end.set()
            await asyncio.gather(*waiting)
            assert not once._turns._turns

    asyncio.run(run())


def test_questions_that_nobody_waits_for_are_counted() -> None:
    """Who asks and leaves, again and again, is told to come later."""

    async def run() -> None:
        may_end = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            once = Once(pool, each=2)
            codes = []
            for number in range(100):
                try:
                    await once.do(number, lambda: may_end.wait(20), 0, client="greedy")
                except TimeoutError:
                    continue
                except Refused as refused:
                    codes.append(refused.status)
            assert codes == [429] * (100 - 66)
            assert len(once._running) == 66
            # What somebody else has asked already costs nothing.
            waiting = asyncio.ensure_future(once.do(0, lambda: None, 20, client="greedy"))
            may_end.set()
            assert await waiting

    asyncio.run(run())


def test_steps_at_one_thing_wait_for_each_other_without_a_thread() -> None:
    async def run() -> None:
        may_end, running = threading.Event(), threading.Semaphore(0)

        def step() -> None:
            running.release()
            may_end.wait(20)

        with ThreadPoolExecutor(3) as pool:
            turns = ClientTurns(pool, each=4)
            names = [f"publisher {number}" for number in range(16)]
            publishing = [asyncio.ensure_future(turns.do(step, name, alone="team/model")) for name in names]
            assert await asyncio.to_thread(running.acquire, timeout=20)
            # Of the three threads one publishes, and two are for the others.
            both = threading.Barrier(2, timeout=20)
            await asyncio.gather(turns.do(both.wait, "reader"), turns.do(both.wait, "other", alone="team/other"))
            assert not running.acquire(blocking=False)
            may_end.set()
            await asyncio.gather(*publishing)
            assert not turns._turns

    asyncio.run(run())


def test_a_step_counts_until_it_ends_although_its_client_is_gone() -> None:
    async def run() -> None:
        may_end = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            turns = ClientTurns(pool, each=1, waiting=0)
            asking = asyncio.ensure_future(turns.do(lambda: may_end.wait(20), "greedy"))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(Refused):
                await turns.do(lambda: None, "greedy")
            may_end.set()
            while turns._turns:
                await asyncio.sleep(0)

    asyncio.run(run())
