"""The board of a server: everything that is shown of it, gathered where somebody looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor

from orchestrator.documents import encode
from orchestrator.serve.pages.condition import Condition
from orchestrator.serve.pages.intake import Intake
from orchestrator.serve.pages.lately import Lately
from orchestrator.serve.pages.live import View, live
from orchestrator.serve.pages.traffic import Traffic
from orchestrator.upkeep.contents import Contents

_CONDITION_SECONDS, _CONTENTS_SECONDS, _LIVE_SECONDS = 5.0, 10.0, 0.9
"""Ages at which each of them is looked at again."""


class Board:
    """Traffic, intake, condition and contents of a server. For the thread of the event loop.

    `examine` and `read` block, and are called in threads of `pool`. `is_gated`: the server fetches closed repos.
    `max_size` are the bytes that the cache may have.
    """

    def __init__(
        self,
        traffic: Traffic,
        intake: Intake,
        *,
        examine: Callable[[], Condition],
        read: Callable[[], Contents],
        pool: Executor,
        is_gated: bool,
        max_size: int | None = None,
    ) -> None:
        self.traffic = traffic
        self.intake = intake
        self.max_size = max_size
        self._condition = Lately(examine, _CONDITION_SECONDS, pool)
        self._contents = Lately(read, _CONTENTS_SECONDS, pool)
        self._is_gated = is_gated
        self._drawn: dict[bool, tuple[float, bytes]] = {}

    async def condition(self) -> Condition | None:
        """The condition of the server; None when even that cannot be told in time."""
        return await self._condition.get(patience=2.0)

    async def contents(self) -> Contents | None:
        """The contents of the cache, as they were lately; None before they were read."""
        return await self._contents.get(patience=1.0)

    async def drawn(self, *, is_whole: bool) -> bytes:
        """The live state as JSON, the same for all who look within a second. Without `is_whole` it names no closed
        repo."""
        condition, contents = await self.condition(), await self.contents()
        now = time.monotonic()
        at, text = self._drawn.get(is_whole, (-_LIVE_SECONDS, b""))
        if now - at >= _LIVE_SECONDS:
            view = View(is_whole, self._is_gated)
            limit = self.max_size
            state = live(self.traffic, self.intake, condition, contents, view=view, now=time.time(), cache_limit=limit)
            text = encode(state).encode()
            self._drawn[is_whole] = now, text
        return text
