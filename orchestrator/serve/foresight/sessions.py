"""Sessions of clients: one wish for a model each, however many files a client asks for."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.core.files import Digest
from orchestrator.core.refs import Ref
from orchestrator.predict.demand import Demand
from orchestrator.serve.http.exchange import Exchange, Presence

IDLE = 600.0
"""Seconds after which the next file that a client asks for begins a new session."""
_MOST = 1000
_NO_CLIENTS = frozenset({"pages", "admin", "peer"})
"""The faces of those who look, command or pass on."""

Key = tuple[str, Ref, str]
"""A client, a ref and a commit."""


@dataclass(slots=True)
class Session:
    """The files of a model that a client asked for. `at` is unix seconds, `last` and `until` are monotonic: of the last
    answer, and up to where the time is counted that it `waited` for files that were not here."""

    ref: Ref
    commit: str
    at: float
    last: float = 0.0
    until: float = 0.0
    waited: float = 0.0
    sizes: dict[Digest, int] = field(default_factory=dict)
    came: dict[Digest, int] = field(default_factory=dict)

    def demand(self, model: str) -> Demand:
        """The wish, for a model of this name."""
        return Demand(self.at, model, sum(self.sizes.values()), sum(self.came.values()), round(self.waited, 3))


class ClientSessions:
    """Follows the requests of clients, as an observer of the application. For the thread of the event loop.

    `stirred` is set as soon as a client asks for anything, until somebody clears it. Closed repos are not noted.
    `clock` is monotonic, `now` unix seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time, most: int = _MOST
    ) -> None:
        self._clock = clock
        self._now = now
        self._most = most
        self._open: OrderedDict[Key, Session] = OrderedDict()
        self._over: list[Session] = []
        self._under_way = 0
        self._last = -float("inf")
        self.stirred = asyncio.Event()

    def began(self, exchange: Exchange) -> None:
        """See Observer."""
        if exchange.face not in _NO_CLIENTS:
            self._under_way += 1
            self.stirred.set()

    def ended(self, exchange: Exchange) -> None:
        """See Observer."""
        if exchange.face in _NO_CLIENTS:
            return
        self._under_way -= 1
        self._last = self._clock()
        if exchange.found is not None and exchange.ref is not None and not exchange.is_closed and exchange.blob:
            self._note(exchange, exchange.ref, exchange.blob, exchange.found)

    @property
    def quiet(self) -> float:
        """Seconds for which no client has asked for anything; 0 while one is answered."""
        return 0.0 if self._under_way else self._clock() - self._last

    def over(self, idle: float = IDLE) -> tuple[Session, ...]:
        """The sessions that ended since this was asked last: no answer for `idle` seconds."""
        now = self._clock()
        while self._open:
            key, session = next(iter(self._open.items()))
            if now - session.last < idle:
                break
            self._over.append(self._open.pop(key))
        over, self._over = tuple(self._over), []
        return over

    def _note(self, exchange: Exchange, ref: Ref, blob: Digest, found: Presence) -> None:
        began, ended = exchange.began, self._clock()
        key = exchange.who, ref, exchange.commit
        session = self._open.get(key)
        if session is not None and began - session.last >= IDLE:
            self._over.append(self._open.pop(key))
            session = None
        if session is None:
            session = self._open[key] = Session(ref, exchange.commit, self._now() - (ended - began), until=began)
            if len(self._open) > self._most:
                self._over.append(self._open.popitem(last=False)[1])
        self._open.move_to_end(key)
        session.last = ended
        if blob not in session.sizes:
            session.sizes[blob] = exchange.size
            if found is not Presence.HIT:
                session.came[blob] = exchange.size
        if found is not Presence.HIT:
            session.waited += max(0.0, ended - max(began, session.until))
            session.until = max(session.until, ended)
