"""Rests of origins that were asked too much: until when a fleet leaves each of them alone, at the word of its nodes."""

from __future__ import annotations

from orchestrator.swarm.control.scheduling.facts import RestFact

_LONGEST = 600.0
"""Seconds for which a fleet leaves an origin alone, where two nodes were told so."""
_ALONE = 60.0
"""The same, where one was: then others ask again, and are told so, too, if it is true."""


class OriginQuiet:
    """The origins that are left alone. `until` has the times of them.

    A node whose word nobody else confirms is believed for a minute, and then for a minute not: it may have a token of
    its own that is used up, or lie.
    """

    def __init__(self) -> None:
        self.until: dict[str, float] = {}
        self._since: dict[str, dict[str, float]] = {}

    def hear(self, fact: RestFact, now: float, *, is_only: bool) -> None:
        """A node was told to leave an origin alone. `is_only`: there is no other node that could ask."""
        since = self._since.setdefault(fact.host, {})
        if now - since.setdefault(fact.node, now) >= 2 * _ALONE:
            since[fact.node] = now
        is_confirmed = is_only or any(node != fact.node and now - begun < _LONGEST for node, begun in since.items())
        most = now + _LONGEST if is_confirmed else since[fact.node] + _ALONE
        self.until[fact.host] = max(self.until.get(fact.host, 0.0), min(now + fact.seconds, most))

    def forget(self, before: float) -> tuple[str, ...]:
        """Forget the origins that were to be left alone until some time before. Returns them."""
        over = tuple(host for host, until in self.until.items() if until < before)
        for host in over:
            del self.until[host], self._since[host]
        return over
