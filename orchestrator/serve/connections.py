"""Connections of the server: who only holds one loses it after a while, and gives way to who asks something.

Anybody who reaches the server can open connections and leave them, send a request byte by byte, or ask for a large file
and read none of it. uvicorn waits for each of them without an end.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import h11

from orchestrator.platform import sockets
from orchestrator.serve.access.clients import client_of
from orchestrator.serve.http.interim import PatientProtocol
from orchestrator.serve.http.proxies import TrustedProxies

_TICK = 1.0
"""Seconds between two looks at a connection."""
_PAUSED = 2.0
"""Seconds without a byte taken after which a reader may have to give way."""
UNSENT = 1 << 20
"""Bytes that the system takes for a connection before they can be sent. A quarter of it cost 15 % more CPU."""
KEEPALIVE = 60
"""Seconds after which a silent client is asked whether it is still there; after three more of these it is not."""


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """Bounds of connections. Times are in seconds, those of a request from the last answer on.

    `head` for the line and the headers of a request; `body` for the rest of it. Who has bytes to read takes at least
    `window` of them, or all, in `reading`. `most` connections are open at once, `each` of one client. Proxies
    may have as many as there are.
    """

    most: int
    each: int
    head: float = 15.0
    body: float = 30.0
    reading: float = 60.0
    window: int = 64 << 10
    proxies: TrustedProxies = field(default_factory=TrustedProxies)


class GuardedProtocol(PatientProtocol):
    """A connection within bounds.

    Where there are too many, one gives way: the oldest at which nobody waits, else the one that was longest without
    reading, of the client that has most of them if one does; else the newest of the client with the most connections,
    which may be this one.
    """

    def __init__(self, *args: Any, bounds: ConnectionBounds, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = bounds
        self._since = self._awaited = self._taken_at = self.loop.time()
        self._written = self._taken = 0
        self._look: asyncio.TimerHandle | None = None
        self._name = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(cast(asyncio.Transport, _Counting(transport, self._wrote)))
        peer = self.client[0] if self.client else ""
        self._name = "" if peer in self._bounds.proxies else client_of(peer)
        self._look = self.loop.call_later(_TICK, self._check)
        others = [one for one in cast(set[GuardedProtocol], self.connections) if one is not self and one.is_open]
        own = [one for one in others if one._name == self._name]
        if self._name and len(own) >= self._bounds.each:
            self._make_room(own)
        elif len(others) >= self._bounds.most:
            self._make_room(others)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """See uvicorn, which does not know that the rest of a request may turn out bad while that is answered."""
        if self.conn.our_state is h11.IDLE:
            super().send_400_response(msg)
            return
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        self.transport.close()

    def on_response_complete(self) -> None:
        """See uvicorn."""
        self._awaited = self.loop.time()
        super().on_response_complete()

    @property
    def is_open(self) -> bool:
        """True when we have not closed it."""
        return not self.transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """True when no request has come whole that was not answered to its last byte."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return is_answered and not self.transport.get_write_buffer_size()

    def _make_room(self, others: list[GuardedProtocol]) -> None:
        idle = [one for one in others if one.is_idle]
        if idle:
            min(idle, key=lambda one: one._since).transport.close()
            return
        now = self.loop.time()
        for one in others:
            one._note(now)
        crowd = Counter(one._name for one in others)
        hog = max(crowd, key=lambda name: crowd[name] if name else 0, default="")
        its = [one for one in others if one._name == hog]
        slowest = min(its if 2 * len(its) > len(others) else others, key=lambda one: one._taken_at, default=self)
        if now - slowest._taken_at > _PAUSED:
            slowest._break_off()
        elif hog and len(its) > crowd[self._name] + 1:
            max(its, key=lambda one: one._since)._break_off()
        else:
            self.transport.close()

    def _break_off(self) -> None:
        """Close at once. The system does not keep for the client what it would not take from us."""
        if (connection := self.transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def passed_by(self, count: int) -> None:
        """See KernelProtocol."""
        self._wrote(count)

    def _wrote(self, count: int) -> None:
        self._written += count

    def _note(self, now: float) -> None:
        """Note what the client has taken. The time stands still as long as that is less than a window."""
        waiting = self.transport.get_write_buffer_size() + _unacknowledged(self.transport.get_extra_info("socket"))
        taken = self._written - waiting
        if waiting <= 0 or taken - self._taken >= self._bounds.window:
            self._taken, self._taken_at = taken, now

    def _check(self) -> None:
        now, bounds = self.loop.time(), self._bounds
        self._look = self.loop.call_later(_TICK, self._check)
        self._note(now)
        # A proxy that keeps a large file for a slow client reads nothing for minutes.
        if self._name and now - self._taken_at > bounds.reading:
            self._break_off()
        elif not self.is_open:
            return  # what is written still goes out
        elif self.conn.their_state is h11.IDLE:
            if now - self._awaited > bounds.head:
                self.transport.close()
        elif self.conn.their_state is h11.SEND_BODY and now - self._awaited > bounds.head + bounds.body:
            self.transport.close()


class _Counting:
    """A transport that tells how much is written to it."""

    def __init__(self, transport: asyncio.Transport, wrote: Callable[[int], None]) -> None:
        self._transport = transport
        self._wrote = wrote

    def write(self, data: bytes) -> None:
        """See asyncio."""
        self._wrote(len(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def tune(listener: socket.socket) -> None:
    """Have connections of a listener end when the machine at the other end is gone, and little kept for those that do
    not read: the system keeps 4 MB for each by default."""
    if sockets.NOTSENT_LOWAT:
        listener.setsockopt(socket.IPPROTO_TCP, sockets.NOTSENT_LOWAT, UNSENT)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), KEEPALIVE)
    if hasattr(socket, "TCP_KEEPCNT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _unacknowledged(connection: Any) -> int:
    """The bytes that the system keeps since the other end has not taken them; 0 where it does not tell."""
    if connection is None or connection.fileno() < 0:
        return 0
    try:
        return sockets.unacknowledged(connection.fileno())
    except OSError:
        return 0
