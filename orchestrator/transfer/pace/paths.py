"""Round trips of the connections under way, and signs of a line that is full or loses, as the kernel tells them.

A full line makes packets wait in its queue before it drops them; a line that loses drops them anyhow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from statistics import median, mode

from orchestrator.system.tcp_info import TcpPath

_SECONDS = 0.5
_SHARE = 0.02  # of the time, at most, is spent on asking: there may be thousands of connections of others
_LEAST_PACKETS = 8  # fewer say little
_LOST = 0.001  # of the packets come late where some are lost
_EMPTY, _FULL = 1.08, 1.15  # round trips by the least one: below there is no queue, above there is one
_CLOCK = 0.002  # seconds that a round trip may differ by, since the kernel counts in these


class Signs(StrEnum):
    """Signs of a line in its connections. `LOSES`: packets are lost, and there is no queue; `FULL`: there is one."""

    NONE = "none"
    LOSES = "loses"
    FULL = "full"


class Paths:
    """Looks at connections now and then; `read` gives them, and is timed by `clock` (monotonic seconds).

    `round_trip` is the longest of the least round trips to all servers, in seconds; None while nothing is known.
    `family` is the address family of most connections, 4 or 6; 0 while that is unknown.
    """

    def __init__(self, read: Callable[[], Sequence[TcpPath]], clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._due = 0.0
        self._least: dict[bytes, float] = {}
        self._before: dict[int, TcpPath] = {}
        self.round_trip: float | None = None
        self.signs = Signs.NONE
        self.family = 0

    def look(self) -> None:
        """Ask, if it is time for that."""
        begun = self._clock()
        if begun < self._due:
            return
        known = [path for path in self._read() if path.packets >= _LEAST_PACKETS]
        for path in known:
            self._least[path.peer] = min(path.least_round_trip, self._least.get(path.peer, path.least_round_trip))
        self.round_trip = max(self._least.values(), default=None)
        self.signs = self._judge(known)
        if known:
            self.family = mode(path.family for path in known)
        self._before = {path.port: path for path in known}
        ended = self._clock()
        self._due = ended + max(_SECONDS, (ended - begun) / _SHARE)

    def _judge(self, paths: Sequence[TcpPath]) -> Signs:
        pairs = [(path, self._before[path.port]) for path in paths if path.port in self._before]
        moving = [(now, before) for now, before in pairs if now.packets > before.packets and now.round_trip]
        if not moving:
            return Signs.NONE
        packets = sum(now.packets - before.packets for now, before in moving)
        if sum(now.late - before.late for now, before in moving) < _LOST * packets:
            return Signs.NONE
        queue = median((now.round_trip - _CLOCK) / max(self._least[now.peer], _CLOCK) for now, _ in moving)
        return Signs.LOSES if queue < _EMPTY else Signs.FULL if queue > _FULL else Signs.NONE
