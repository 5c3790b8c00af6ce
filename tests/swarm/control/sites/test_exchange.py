"""What another site may take of the loop that all share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from types import SimpleNamespace

import pytest

from orchestrator.core.versions import Vector
from orchestrator.errors import TemporaryError
from orchestrator.swarm.control.sites import codec, exchange
from orchestrator.swarm.control.sites.states import SiteNews
from orchestrator.swarm.control.stubs import fleet_pb2 as pb


class Busy:
    """A desk that needs `cost` seconds for each word of another site, by the clock `now`."""

    site = "rome"

    def __init__(self, cost: float) -> None:
        self.cost = cost
        self.now = 0.0
        self.taken = 0

    def begin(self, other: str) -> Vector:
        return Vector()

    def take(self, other: str, news: SiteNews | None) -> None:
        self.now += self.cost
        self.taken += 1

    def news(self, seen: Vector) -> Iterable[SiteNews]:
        return ()

    def end(self, other: str, why: str) -> None:
        pass


@pytest.mark.parametrize(("cost", "least"), [(0.1, 59.0), (0.001, 0.55), (0.0, 0.0)])
def test_who_never_ends_is_heard_a_quarter_of_the_time(
    monkeypatch: pytest.MonkeyPatch, cost: float, least: float
) -> None:
    desk, rested = Busy(cost), [0.0]

    async def sleep(seconds: float) -> None:
        rested.append(seconds)

    async def heard() -> AsyncIterator[pb.StateDelta]:
        for _ in range(200):
            yield codec.beat()

    monkeypatch.setattr(exchange, "time", SimpleNamespace(monotonic=lambda: desk.now))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with suppress(TemporaryError):
        asyncio.run(exchange._hear(desk, "paris", heard(), exchange._Seen()))
    assert desk.taken == 200
    assert least <= sum(rested) <= 601 * cost
