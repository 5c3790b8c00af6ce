"""The board of a server: everything that is shown of it, gathered where somebody looks."""

from __future__ import annotations

import time

from orchestrator.documents import encode
from orchestrator.serve.pages.intake import Intake
from orchestrator.serve.pages.live import View, live
from orchestrator.serve.pages.looking import Looking
from orchestrator.serve.pages.traffic import Traffic

_LIVE_SECONDS = 0.9
"""Age at which the state is made again."""


class Board:
    """Traffic and intake of a server, and what it sees around it. For the thread of the event loop.

    `is_gated`: the server fetches closed repos.
    """

    def __init__(self, traffic: Traffic, intake: Intake, looking: Looking, *, is_gated: bool) -> None:
        self.traffic = traffic
        self.intake = intake
        self.looking = looking
        self._is_gated = is_gated
        self._drawn: dict[bool, tuple[float, bytes]] = {}

    async def drawn(self, *, is_whole: bool) -> bytes:
        """The live state as JSON, the same for all who look within a second. Without `is_whole` it names no closed
        repo."""
        looks = await self.looking.around()
        now = time.monotonic()
        at, text = self._drawn.get(is_whole, (-_LIVE_SECONDS, b""))
        if now - at >= _LIVE_SECONDS:
            view = View(is_whole, self._is_gated)
            text = encode(live(self.traffic, self.intake, looks, view=view, now=time.time())).encode()
            self._drawn[is_whole] = now, text
        return text
