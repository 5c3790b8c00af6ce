"""Latency and rate limits of a face, as the network between a client and a site would impose them.

Rates are kept by reservation: a bucket is a clock of when its next byte may have arrived, every chunk moves the
clock on by n/rate, and the sender sleeps until its chunk's arrival time before writing it. Timer error therefore
does not add up, and a bucket shared by many connections divides its rate evenly among those that send.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

_CREDIT_S = 0.03
"""How much lateness of the event loop a bucket makes up for while someone sends; idling earns nothing."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Seconds and bytes per second; None is unlimited.

    `latency_s` is added once for each new connection (the TCP round trip) and once for each request.
    `rate_per_connection` bounds each TCP connection, `total_rate` the sum over all connections of the face.
    """

    latency_s: float = 0.0
    rate_per_connection: float | None = None
    total_rate: float | None = None

    @property
    def limited(self) -> bool:
        return self.rate_per_connection is not None or self.total_rate is not None


class Bucket:
    """A rate in bytes/s, shared by all who reserve from it."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._next = 0.0
        self._senders = 0

    def enter(self, now: float) -> None:
        """A sender begins; the first one starts the clock anew."""
        if self._senders == 0:
            self._next = max(self._next, now)
        self._senders += 1

    def leave(self) -> None:
        self._senders -= 1

    def reserve(self, count: int, now: float) -> float:
        """Book `count` bytes; return the loop time at which the last of them arrives."""
        self._next = max(self._next, now - _CREDIT_S) + count / self.rate
        return self._next


class Pacer:
    """What one connection's sender asks before each chunk: how much next, and wait for it."""

    def __init__(self, buckets: list[Bucket]) -> None:
        self._buckets = buckets
        slowest = min((bucket.rate for bucket in buckets), default=0.0)
        # About 80 chunks a second: a small share of a CPU, and fine enough for a shared bucket to be fair.
        self.chunk = int(min(max(slowest / 80, 1), 512 * 1024))

    def __enter__(self) -> Pacer:
        for bucket in self._buckets:
            bucket.enter(asyncio.get_running_loop().time())
        return self

    def __exit__(self, *_: object) -> None:
        for bucket in self._buckets:
            bucket.leave()

    async def wait(self, count: int) -> None:
        """Return when `count` more bytes may be written."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = max((bucket.reserve(count, now) for bucket in self._buckets), default=now)
        if due > now:
            await asyncio.sleep(due - now)
