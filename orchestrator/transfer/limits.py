"""Limits of a transfer: connections, downloads, bytes per second. Arithmetic, without a daemon.

aria2 waits whenever the last moments brought more than its limit, and so brings a tenth less than it was told, the more
connections the more so. Told per download, what one that is slow anyway does not use is lost as well. So what really
arrives is measured, and the limit that is told is raised until the two agree.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from orchestrator.core.speeds import Speed, speed_at

# Small files given to couriers for each connection of the budget: they start the next without waiting for our poll.
_QUEUE_DEPTH = 4
# aria2 counts what came in the last ten seconds: sooner it would only be driven to and fro.
_SECONDS = 5.0
START = 16
"""Connections that a far source begins with for each large file, where nothing was learned of it yet: as many as other
programs open."""
PER_SOURCE = 64
"""Connections to one source, for all files together, where the budget is not set and the line does not lose packets."""
MOST = 256
"""Connections of a run where the budget is not set; to one source only where it is a line that loses packets."""


def limit_at(speed: Speed, now: float) -> int | None:
    """The limit that holds at `now`, in unix seconds, by the clock on the wall: with its time zone and summer time."""
    local = time.localtime(now)
    return speed_at(speed, 60 * local.tm_hour + local.tm_min)


def usual(files: int) -> int:
    """The connections that a far source begins with, of which nothing was learned, for so many large files."""
    return min(START * max(1, files), PER_SOURCE)


_EAGERNESS = 0.5  # how much of a difference is made up for at once
_FIRST, _LEAST, _MOST = 1.05, 0.9, 1.25  # of the limit: sources that are slower than it must not let it grow


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """`connections_per_mirror` for one file, `budget` for all open connections together, None for as many as help;
    `jobs` the files under way; `max_speed` is bytes per second over all, or by the time of the day; `is_polite`: only
    what others leave of the line. `downloads` is how many downloads the daemon runs at once, None for no fewer than the
    budget; `patience` are the seconds that the end of a file may take for the sake of bytes that would come twice.
    """

    connections_per_mirror: int = MOST
    budget: int | None = None
    jobs: int | None = None
    max_speed: Speed = None
    is_polite: bool = False
    downloads: int | None = None
    patience: float = 0.0

    @property
    def per_source(self) -> int:
        """Connections to one source."""
        return self.budget or PER_SOURCE

    @property
    def most(self) -> int:
        """Connections of a run; to one source only where its line loses packets though it is not full."""
        return self.budget or MOST

    def total(self, sources: int) -> int:
        """Connections to so many sources together, while no line loses packets."""
        return self.budget or min(PER_SOURCE * max(1, sources), MOST)


@dataclass(frozen=True, slots=True)
class Budget:
    """`big_most` connections for large files, in `spans_most` downloads of `width` each; `small_most` small files."""

    big_most: int
    spans_most: int
    width: int
    small_most: int

    @classmethod
    def of(
        cls,
        limits: TransferLimits,
        *,
        has_big: bool,
        has_small: bool,
        big_used: int = 0,
        most: int | None = None,
        sources: int = 1,
    ) -> Budget:
        """The shares of large and small files, when there are some, and large ones use `big_used` connections now.

        `most` connections in all, where that is less than what `sources` may have together. How many each of these has
        for large files is found out by what helps, up to what a line may have that loses packets.
        """
        budget = limits.total(sources) if most is None else min(most, limits.total(sources))
        # A quarter is kept for small files, so that they arrive beside the big ones and not after them.
        reserve = budget // 4 if has_small and has_big else 0
        big_most = max(1, (limits.most if most is None else min(most, limits.most)) - reserve)
        depth = _QUEUE_DEPTH if most is None else 1
        small_most = max(1, budget - big_used if has_big else budget * depth)
        if limits.downloads is None or limits.downloads >= budget:
            return cls(big_most, min(big_most, limits.downloads or big_most), 1, small_most)
        # A daemon that runs few downloads at once gets few, each with several connections.
        spans = max(1, limits.downloads)
        width = min(16, -(-min(START, limits.connections_per_mirror) // spans))
        return cls(big_most, spans, width, small_most)


@dataclass(slots=True)
class Throttle:
    """The limit for aria2 that meets the total limit.

    `limit` is bytes per second over all; `moved` and `now` are totals, of bytes and of monotonic seconds.
    """

    limit: int
    told: float = 0.0
    _at: float = 0.0
    _moved: int = 0

    def next(self, now: float, moved: int) -> int | None:
        """The next limit for aria2, over all downloads; None while it is too early to know better."""
        if not self.told:
            self.told, self._at, self._moved = _FIRST * self.limit, now, moved
            return round(self.told)
        seconds = now - self._at
        if seconds < _SECONDS:
            return None
        rate = (moved - self._moved) / seconds
        wanted = self.told * (1 + _EAGERNESS * (1 - rate / self.limit))
        self.told = min(max(wanted, _LEAST * self.limit), _MOST * self.limit)
        self._at, self._moved = now, moved
        return round(self.told)
