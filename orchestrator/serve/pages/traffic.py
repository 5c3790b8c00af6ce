"""Traffic of a server: what clients asked, what they got and how soon. For the thread of the event loop."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.core.files import Digest
from orchestrator.serve.http.exchange import Exchange, Presence

BOUNDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds in seconds of the classes of `FirstBytes`; above them is one more."""
PAGES = "pages"
"""The face for those who look: they are no clients."""
PEERS = "peer"
"""The face for other nodes of a fleet. What it refuses them, such as a range that is not here yet, is no news."""
_MOST_CLIENTS = 256
_MOST_RECENT = 64


@dataclass(slots=True)
class FirstBytes:
    """Seconds until the first byte of files, counted in classes."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """One more answer began to come."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


@dataclass(slots=True)
class ClientTally:
    """The account of one client: by the name of its token, or by its address. `last` is unix seconds."""

    requests: int = 0
    sent: int = 0
    last: float = 0.0
    found: Counter[Presence] = field(default_factory=Counter)


class Traffic:
    """Counts requests as an observer of the application; keeps the last clients, and the last answers, numbered, with
    files or refusals.

    `clock` is unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sent = self._told = self._sent_to_peers = 0
        self._open: dict[Exchange, None] = {}
        self.requests = 0
        self.answers: Counter[tuple[str, int]] = Counter()
        self.found: Counter[Presence] = Counter()
        self.first_bytes = {found: FirstBytes() for found in Presence}
        self.clients: OrderedDict[str, ClientTally] = OrderedDict()
        self.recent: deque[tuple[int, Exchange]] = deque(maxlen=_MOST_RECENT)

    def began(self, exchange: Exchange) -> None:
        """See Observer."""
        self.requests += 1
        self._open[exchange] = None

    def ended(self, exchange: Exchange) -> None:
        """See Observer."""
        del self._open[exchange]
        now = self._clock()
        self.answers[exchange.face, exchange.status] += 1
        if exchange.found is not None:
            self.found[exchange.found] += 1
            if exchange.first_byte is not None:
                self.first_bytes[exchange.found].add(exchange.first_byte - exchange.began)
        if exchange.face != PAGES:
            if exchange.face == PEERS:
                self._sent_to_peers += exchange.sent
            else:
                self._sent += exchange.sent
            self._account(exchange, now)
            if exchange.found is not None or (
                exchange.status >= 400 and not (exchange.face == PEERS and exchange.caller)
            ):
                self._told += 1
                self.recent.append((self._told, exchange))

    @property
    def sent(self) -> int:
        """Bytes of bodies that were sent to clients."""
        return self._sent + sum(exchange.sent for exchange in self._open if exchange.face not in (PAGES, PEERS))

    @property
    def sent_to_peers(self) -> int:
        """Bytes of bodies that were sent to other nodes of the fleet."""
        return self._sent_to_peers + sum(exchange.sent for exchange in self._open if exchange.face == PEERS)

    @property
    def under_way(self) -> tuple[Exchange, ...]:
        """The requests with files that are being answered."""
        return tuple(exchange for exchange in self._open if exchange.found is not None)

    @property
    def wanted(self) -> dict[Digest, Exchange]:
        """The files that are being sent to clients, each with a request for it."""
        return {one.blob: one for one in self._open if one.blob is not None and one.face != PEERS}

    def _account(self, exchange: Exchange, now: float) -> None:
        name = exchange.who
        tally = self.clients.setdefault(name, ClientTally())
        self.clients.move_to_end(name)
        tally.requests += 1
        tally.sent += exchange.sent
        tally.last = now
        if exchange.found is not None:
            tally.found[exchange.found] += 1
        if len(self.clients) > _MOST_CLIENTS:
            self.clients.popitem(last=False)
