"""Looks around a server: at its condition, its cache and its fleet; each when somebody asks, and not often."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from orchestrator.serve.foresight.gauge import ExpectedPulls
from orchestrator.serve.foresight.wanted import Wishes
from orchestrator.serve.pages.condition import Condition
from orchestrator.serve.pages.fleet import SeeFleet, SeenFleet
from orchestrator.serve.pages.lately import Lately
from orchestrator.upkeep.contents import Contents

_CONDITION_SECONDS, _CONTENTS_SECONDS, _FLEET_SECONDS, _EXPECTED_SECONDS = 5.0, 10.0, 0.9, 30.0
"""Ages at which each of them is looked at again."""
_AWAY_SECONDS = 10.0
"""The fleet's, also where its schedulers took long to say nothing."""


@dataclass(frozen=True, slots=True)
class Looks:
    """All that was seen lately; None is what is not known yet, or not there. `max_size` are the bytes that the cache
    may have."""

    condition: Condition | None = None
    contents: Contents | None = None
    fleet: SeenFleet | None = None
    expected: tuple[ExpectedPulls, ...] = ()
    max_size: int | None = None
    wanted: Wishes = ()


class Looking:
    """Looks again at what was seen long ago. For the thread of the event loop.

    `examine`, `read`, `see_fleet`, for a server that looks on at a fleet, and `foretell`, for one that has a forecast,
    block, and are called in threads of `pool`.
    """

    def __init__(
        self,
        examine: Callable[[], Condition],
        read: Callable[[], Contents],
        see_fleet: SeeFleet | None = None,
        foretell: Callable[[], tuple[ExpectedPulls, ...]] | None = None,
        *,
        pool: Executor,
        max_size: int | None = None,
        wanted: Callable[[], Wishes] = tuple,
    ) -> None:
        self._condition = Lately(examine, _CONDITION_SECONDS, pool)
        self._contents = Lately(read, _CONTENTS_SECONDS, pool)
        self._fleet = Lately(see_fleet, _FLEET_SECONDS, pool, longest=_AWAY_SECONDS) if see_fleet else None
        self._expected = Lately(foretell, _EXPECTED_SECONDS, pool) if foretell else None
        self._max_size = max_size
        self._wanted = wanted

    async def condition(self) -> Condition | None:
        """The condition of the server; None when even that cannot be told in time."""
        return await self._condition.get(patience=2.0)

    async def around(self) -> Looks:
        """All of it, as it was lately."""
        condition, contents = await self.condition(), await self._contents.get(patience=1.0)
        fleet = await self._fleet.get(patience=1.0) if self._fleet is not None else None
        expected = (await self._expected.get(patience=1.0)) or () if self._expected is not None else ()
        return Looks(condition, contents, fleet, expected, self._max_size, self._wanted())
