"""Bodies have their turns: some at once, few of them with the same bytes, and nobody waits for one that is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from orchestrator.core.files import Digest
from orchestrator.serve.peer import turns
from orchestrator.serve.peer.turns import AskedBytes, Turns

ONE, OTHER = (Digest.parse(f"sha256:{number:064x}") for number in (1, 2))
LONG = 60.0


class Bodies:
    """Bodies that are being sent, by their names."""

    def __init__(self, most: int) -> None:
        self._turns = Turns(most)
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.begun: list[str] = []

    async def ask(self, name: str, start: int, end: int, digest: Digest = ONE, patience: float = LONG) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._send(name, AskedBytes(digest, start, end), patience))
        await settle()

    async def _send(self, name: str, wanted: AskedBytes, patience: float) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._turns.of(wanted, patience))
            self.begun.append(name)
            await self._ends[name].wait()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await settle()

    async def end_as_it_leaves(self, name: str, other: str) -> None:
        """End one in the same turn of the loop in which another one, that waits, is given up."""
        self._ends[name].set()
        self._tasks[other].cancel()
        await self._tasks[name]
        await asyncio.wait([self._tasks[other]])
        await settle()

    async def leave(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.wait([self._tasks[name]])
        await settle()

    def outcome(self, name: str) -> asyncio.Task[None]:
        return self._tasks[name]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def go(story: Callable[[Bodies], Awaitable[None]], most: int = 16) -> None:
    async def told() -> None:
        bodies = Bodies(most)
        await story(bodies)

    asyncio.run(told())


def test_so_many_are_sent_at_once_and_the_others_in_their_order() -> None:
    async def story(bodies: Bodies) -> None:
        for number in range(4):
            await bodies.ask(f"{number}", number * 10, number * 10 + 10)
        assert bodies.begun == ["0", "1"]
        await bodies.end("1")
        assert bodies.begun == ["0", "1", "2"]
        await bodies.end("0")
        assert bodies.begun == ["0", "1", "2", "3"]

    go(story, most=2)


def test_two_get_the_same_bytes_and_the_third_waits_but_keeps_nobody_from_others() -> None:
    async def story(bodies: Bodies) -> None:
        await bodies.ask("a", 0, 100)
        await bodies.ask("b", 50, 60)
        await bodies.ask("within", 59, 90)
        await bodies.ask("behind", 60, 90)
        await bodies.ask("other", 50, 60, OTHER)
        assert bodies.begun == ["a", "b", "behind", "other"]
        await bodies.end("b")
        assert bodies.begun[4:] == ["within"]

    go(story)


def test_who_was_refused_or_left_takes_no_turn() -> None:
    async def story(bodies: Bodies) -> None:
        for name in ("a", "b"):
            await bodies.ask(name, 0, 10)
        await bodies.ask("late", 0, 10, patience=0.01)
        with pytest.raises(TimeoutError):
            await bodies.outcome("late")
        await bodies.ask("leaves", 0, 10)
        await bodies.leave("leaves")
        await bodies.ask("next", 0, 10)
        await bodies.leave("a")
        assert bodies.begun == ["a", "b", "next"]

    go(story)


def test_who_leaves_just_as_another_one_ends_keeps_nobody_from_a_turn() -> None:
    async def story(bodies: Bodies) -> None:
        for name in ("a", "b", "leaves", "next"):
            await bodies.ask(name, 0, 10)
        await bodies.end_as_it_leaves("a", "leaves")
        assert bodies.outcome("leaves").cancelled()
        assert bodies.begun == ["a", "b", "next"]
        await bodies.end("b")
        await bodies.end("next")

    go(story)


def test_slow_ones_keep_nobody_off_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_FRESH", 0.01)

    async def story(bodies: Bodies) -> None:
        for name in ("a", "b", "c"):
            await bodies.ask(name, 0, 10)
        assert bodies.begun == ["a", "b"]
        while "c" not in bodies.begun:
            await asyncio.sleep(0.005)
        await bodies.end("a")
        assert bodies.begun == ["a", "b", "c"]

    go(story)
