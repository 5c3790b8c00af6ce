"""Silence of connections: those that are silent for too long give their ranges to others.

How long a connection may be silent is counted from its own rate at its last byte: a slow one brings a block now and
then, and one that loses packets waits for the sender's timeouts. Beyond that it depends on what the others do:

- only those to the same source that began later bring bytes: the path works, and the older ones are dead (an address
  changed, or a box on the way forgot them);
- others bring bytes: it is probably dead;
- nobody does: the line itself may be down, or the server busy, and new connections would not help. One is opened again
  now and then, to find out when it is back.

Beside a source that alone may be asked for something, the others are those that could bring it in its place: that peers
in the next rack send fast tells nothing of the way to a server far away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from orchestrator.transfer.pace.servers import Server
from orchestrator.transfer.spans import Span

_AT_LEAST = 1.0  # seconds, where the path is known to work
_OTHERS_FLOW = 3.0  # seconds
_NOBODY_FLOWS = 20.0  # seconds
_NEXT_PROBE = 4.0  # seconds, at most, from one that is opened again to the next
_ANSWERED = 16.0  # seconds that each has for its first byte: a relay that fetches the file first needs a while
_BLOCKS = 4  # progress is told in blocks: so many may be awaited at the rate of the connection
_ROUND_TRIPS = 4


class Silence:
    """The spans under way at one time. `slowest` is what the daemon grants each, in bytes per second, where it limits
    that. `others` gives the sources that a span is compared with, None for all."""

    def __init__(
        self,
        spans: Sequence[Span],
        servers: Mapping[str, Server],
        now: float,
        *,
        slowest: float | None = None,
        others: Callable[[Span], Collection[str] | None] = lambda _span: None,
    ) -> None:
        self._now, self._servers, self._slowest, self._others = now, servers, slowest, others
        self._flowing: dict[str, float] = {}  # by source, when the oldest connection that brings bytes began
        for span in spans:
            if self._flows(span):
                self._flowing[span.source] = min(span.begun, self._flowing.get(span.source, span.begun))
        still = [span for span in spans if self.is_everywhere(span)]
        self._probes = [probe for source in servers for probe in self._choose(still, source)] if still else []

    def is_everywhere(self, span: Span) -> bool:
        """True when no connection brings anything, to its own source or to those that it is compared with."""
        others = self._others(span) if self._flowing else None
        return not self._flowing if others is None else self._flowing.keys().isdisjoint((span.source, *others))

    def holds(self, source: str) -> bool:
        """True when no connection to this source brings anything."""
        return source not in self._flowing

    def is_over(self, span: Span) -> bool:
        """True when the span has been silent for too long."""
        if any(one is span for one in self._probes):
            return True
        if span.has_gain and self._flowing.get(span.source, 0.0) > span.moved:
            patience = _AT_LEAST
        else:
            patience = _NOBODY_FLOWS if self.is_everywhere(span) else _OTHERS_FLOW
        if not span.has_gain:
            patience += 2 * self._servers[span.source].setup
        return self._seconds(span) > max(patience, self._usual(span))

    def _choose(self, spans: Sequence[Span], source: str) -> Sequence[Span]:
        """The longest silent span of a source, when it is time to open one again; more where too many are open, since
        none would be begun else."""
        mine = sorted((span for span in spans if span.source == source), key=self._seconds, reverse=True)
        if not mine:
            return ()
        server = self._servers[source]
        since = max(server.probed, max((span.moved for span in mine if span.has_gain), default=self._since(mine[0])))
        # Where there is only one, the kernel tries again to reach the server meanwhile.
        patience = min(_AT_LEAST * 2**server.probes, max(_NEXT_PROBE, _ANSWERED / len(mine)))
        if self._now - since <= max(patience + 2 * server.setup, self._usual(mine[0])):
            return ()
        return mine[: max(1, len(mine) - server.allowed + 1)]

    def _flows(self, span: Span) -> bool:
        return span.has_gain and self._seconds(span) <= max(_AT_LEAST, self._usual(span))

    @staticmethod
    def _since(span: Span) -> float:
        return max(span.moved, span.begun)

    def _seconds(self, span: Span) -> float:
        return self._now - self._since(span)

    def _usual(self, span: Span) -> float:
        """Seconds that may pass between two signs of life of a span that is well."""
        server = self._servers[span.source]
        rate = span.last_rate or server.each or 0.0
        if self._slowest is not None:
            rate = min(rate, self._slowest) or self._slowest
        blocks = _BLOCKS * span.block / rate if rate else 0.0
        if not span.last_rate:  # the rate is that of others, and may be next to nothing
            blocks = min(blocks, _NOBODY_FLOWS)
        return blocks + _ROUND_TRIPS * server.round_trip
