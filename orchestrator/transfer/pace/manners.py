"""Connections and windows of a transfer that leaves the line usable for others.

A limit of aria2 is a pause in its reading: the kernel takes each new range at full speed, as much as its window holds,
and what the line cannot carry waits in a queue before everybody's packets. So each connection of such a run has a small
window, and the run as few connections as bring what it may have: their product is all that can wait in a queue.

- With a limit, connections are added until the limit is met.
- Polite ones fill what others leave, judged by the delay that the queues add, as LEDBAT does (RFC 6817): connections
  are added while there is none. Where there is one and the run gets less than the line once gave it, others are there:
  one connection is left until the queue has been empty for a while.

Times are seconds, rates bytes per second.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.system.tcp_info import TcpPath

FIRST = 6
"""Connections that such a run begins with."""

_WINDOW_SECONDS = 0.008  # of the limit, in the window of a connection: 8 of them at 60 ms, 40 at 300 ms
# The kernel grants no more than `net.core.rmem_max`, which is 208 KiB by default.
_LEAST_WINDOW, _LEAST_POLITE, _MOST_WINDOW = 8 << 10, 16 << 10, 208 << 10
_WINDOWS = 32  # that fill the line as it is remembered

_MET, _OVER = 0.97, 1.1  # of the limit
_BACK_SECONDS = 10.0  # aria2 counts what came in this time
_LOOK_SECONDS, _SEEN_SECONDS, _TRY_AGAIN_SECONDS, _GAIN = 1.5, 1.0, 20.0, 1.05

_TICK_SECONDS, _RATE_SECONDS = 0.25, 0.5
_LEAST_DELAY, _DELAY_SHARE = 0.01, 0.2  # a queue that counts: seconds, and of the round trip without it
_OWN = 0.75  # of what the line gave: with less beside a queue, others are there
_SIGNS = 3  # ticks in a row
_MORE, _FEWER = 1.3, 0.9  # each tick
_FIRST_REST, _LONGEST_REST, _EMPTY_SECONDS = 1.0, 4.0, 1.0
_FORGET_SECONDS = 300.0  # until half of the line's remembered rate is forgotten
_BASE_SECONDS = 300.0


def window(max_speed: int | None, *, is_polite: bool, known: float = 0.0) -> int | None:
    """Bytes that one connection may have on its way; None where the kernel decides.

    `known` are the bytes that the line holds, rate times latency, as far as they are remembered.
    """
    found = []
    if max_speed:
        found.append(max(_LEAST_WINDOW, round(max_speed * _WINDOW_SECONDS)))
    if is_polite:
        found.append(max(_LEAST_POLITE, round(known / _WINDOWS)))
    return min(_MOST_WINDOW, *found) if found else None


@dataclass(slots=True)
class Limited:
    """The connections that meet a limit. More are tried while it is not met, and again after a while where those
    brought nothing: then the line, or the sources, are slower than the limit."""

    limit: int
    connections: int = FIRST
    _before: float = 0.0
    _not_before: float = 0.0

    def look(self, now: float, rate: float, long_rate: float, most: int) -> int:
        """Decide again, with the rate of the last moments, that of as long as aria2 looks back, and `most` in all.

        After more than the limit came aria2 reads nothing for a while: that is no reason for more connections.
        """
        fitting = self.connections * self.limit / max(rate, 1.0)
        if rate > _OVER * self.limit:
            self.connections, self._before = max(1, math.ceil(fitting)), 0.0
        elif max(rate, long_rate) >= _MET * self.limit or now < self._not_before:
            self._before = 0.0
        elif self._before and rate < _GAIN * self._before:
            self._before, self._not_before = 0.0, now + _TRY_AGAIN_SECONDS
        else:
            self._before = rate
            self.connections = min(most, 2 * self.connections, max(math.ceil(fitting), self.connections + 1))
        return self.connections


@dataclass(slots=True)
class Polite:
    """The connections that fill what others leave, by the delay of queues."""

    connections: float = FIRST
    capacity: float = 0.0
    _looked: float = 0.0
    _good: float = FIRST
    _signs: int = 0
    _is_resting: bool = False
    _rest_until: float = 0.0
    _rest: float = _FIRST_REST

    def look(self, now: float, rate: float, delay: float, base: float, *, used: int, most: int) -> int:
        """Decide again; call it every quarter of a second.

        `delay` is what queues add to a round trip of `base`, `rate` what came lately, over `used` connections, of
        `most` that there may be.
        """
        self.capacity = max(rate, self.capacity * 0.5 ** ((now - (self._looked or now)) / _FORGET_SECONDS))
        self._looked = now
        has_queue = delay > max(_LEAST_DELAY, _DELAY_SHARE * base)
        is_less = rate < _OWN * self.capacity
        if self._is_resting:
            if has_queue:
                self._rest_until = max(self._rest_until, now + _EMPTY_SECONDS)
            if now < self._rest_until:
                return 1
            self._is_resting, self.connections = False, max(1.0, self._good / 2)
        if not is_less:
            self._good = self.connections
        self._signs = self._signs + 1 if has_queue and is_less else 0
        if self._signs >= _SIGNS:
            self.connections, self._signs, self._is_resting = 1.0, 0, True
            self._rest_until = now + self._rest
            self._rest = min(2 * self._rest, _LONGEST_REST)
        elif has_queue:
            self.connections = max(1.0, _FEWER * self.connections)
            self._rest = self._rest if is_less else _FIRST_REST
        elif used >= int(self.connections):
            self.connections = min(float(most), max(_MORE * self.connections, self.connections + 0.5))
        return int(self.connections)


@dataclass(slots=True)
class Delays:
    """The delay that queues add, from the round trips of connections over which something came since the last look."""

    base: float = 0.0
    _received: dict[int, int] = field(default_factory=dict)
    _least: dict[bytes, deque[tuple[float, float]]] = field(default_factory=dict)

    def look(self, now: float, paths: Sequence[TcpPath]) -> float | None:
        """The median of the delays; None where nothing came, or the system tells nothing."""
        found = []
        for path in paths:
            if path.round_trip and path.received != self._received.get(path.port):
                base = self._base(now, path)
                found.append((path.round_trip - base, base))
        self._received = {path.port: path.received for path in paths}
        if not found:
            return None
        delay, self.base = sorted(found)[len(found) // 2]
        return delay

    def _base(self, now: float, path: TcpPath) -> float:
        """The shortest round trip to this place in the last minutes: routes change."""
        seen = self._least.setdefault(path.peer, deque())
        least = min(path.round_trip, path.least_round_trip or path.round_trip)
        while seen and (seen[0][0] < now - _BASE_SECONDS):
            seen.popleft()
        # Only what nothing later is below can become the shortest.
        while seen and seen[-1][1] >= least:
            seen.pop()
        seen.append((now, least))
        return seen[0][1]


class Manners:
    """The connections of a transfer with a limit, or of a polite one.

    `paths` tells those that are open. Where the system does not tell them (`aria2c` of others, other systems), a polite
    one keeps to its first ones.
    """

    def __init__(self, max_speed: int | None, *, is_polite: bool, paths: Callable[[], Sequence[TcpPath]]) -> None:
        self._limited = Limited(max_speed) if max_speed else None
        self._polite = Polite() if is_polite else None
        self._delays, self._paths = Delays(), paths
        self._moved: deque[tuple[float, int]] = deque()
        self._looked = self._ticked = 0.0
        self.connections: int | None = FIRST if max_speed or is_polite else None
        """Connections that are allowed; None for any number."""

    def look(self, now: float, moved: int, *, used: int, budget: int) -> None:
        """Decide again, where it is time.

        `moved` are all bytes that came, `used` the connections that are open, `budget` the most that there may be.
        """
        if self.connections is None:
            return
        self._moved.append((now, moved))
        while self._moved[0][0] < now - _BACK_SECONDS:
            self._moved.popleft()
        if self._limited and now - self._looked >= _LOOK_SECONDS:
            if self._looked:
                self._limited.look(now, self._rate(now, _SEEN_SECONDS), self._rate(now, _BACK_SECONDS), budget)
            self._looked = now
        if self._polite and now - self._ticked >= _TICK_SECONDS:
            self._ticked = now
            delay = self._delays.look(now, self._paths())
            if delay is not None:
                self._polite.look(now, self._rate(now, _RATE_SECONDS), delay, self._delays.base, used=used, most=budget)
        allowed = [self._limited.connections] if self._limited else []
        allowed += [int(self._polite.connections)] if self._polite else []
        self.connections = max(1, min(allowed))

    def _rate(self, now: float, seconds: float) -> float:
        begun, before = next(one for one in self._moved if one[0] >= now - seconds - 1e-9)
        return (self._moved[-1][1] - before) / (now - begun) if now > begun else 0.0
