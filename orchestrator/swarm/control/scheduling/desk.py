"""The desk of a scheduler for other sites: what it tells them, what it takes from them, and what people hear of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from orchestrator.core.versions import Vector
from orchestrator.events import Emit, FleetNews, Notice
from orchestrator.swarm.control.scheduling.core import SchedulerCore
from orchestrator.swarm.control.scheduling.outlook import Outlook
from orchestrator.swarm.control.sites.states import SiteNews

_FRESH = 0.4
"""Seconds for which a look at the nodes of this site is good enough, for all who ask."""


class Desk:
    """See `sites.exchange.SiteDesk`."""

    def __init__(self, core: SchedulerCore, emit: Emit, clock: Callable[[], float]) -> None:
        self._core = core
        self._emit = emit
        self._clock = clock
        self._outlook = Outlook()
        self._looked = float("-inf")
        self._connections: Counter[str] = Counter()

    @property
    def site(self) -> str:
        """See `SiteDesk`."""
        return self._core.site

    def begin(self, other: str) -> Vector:
        """See `SiteDesk`."""
        seen = self._core.abroad.seen(other, self._clock())
        self._connections[other] += 1
        if self._connections[other] == 1:
            self._emit(FleetNews("site", f"linked with the site {other}: both know what the other has"))
        return seen

    def take(self, other: str, news: SiteNews | None) -> None:
        """See `SiteDesk`."""
        if news is None:
            self._core.abroad.heard(other, self._clock())
        else:
            self._core.abroad.take(other, news, self._clock())

    def news(self, seen: Vector) -> Iterable[SiteNews]:
        """See `SiteDesk`."""
        now = self._clock()
        if now - self._looked >= _FRESH:
            self._looked = now
            self._outlook.look(self._core.state, now)
        return self._outlook.news(seen)

    def end(self, other: str, why: str) -> None:
        """See `SiteDesk`."""
        self._connections[other] -= 1
        if not self._connections[other]:
            del self._connections[other]
            words = (
                f"the link to the site {other} is gone: {why}; this site goes on, and fetches itself what only that has"
            )
            self._emit(Notice("site-away", words))

    def look(self) -> None:
        """Tell people of sites whose nodes those of this one do not reach."""
        for site in self._core.take_doubts():
            words = (
                f"nodes here get nothing from those of the site {site}: what only that has is fetched from outside; is "
                "port 8092 of its nodes open to these?"
            )
            self._emit(Notice("site-unreachable", words))
