"""Holding a rate over all downloads: what aria2 is told to keep to, so that the limit is met.

aria2 waits whenever the last moments brought more than its limit, and so brings a tenth less than it was told, the more
connections the more so. Told per download, what one that is slow anyway does not use is lost as well. So what really
arrives is measured, and the limit that is told is raised until the two agree.
"""

from __future__ import annotations

from dataclasses import dataclass

_SECONDS = 1.0
_EAGERNESS = 0.5  # how much of a difference is made up for at once
_LEAST, _MOST = 0.9, 1.25  # of the limit: sources that are slower than it must not let it grow


@dataclass(slots=True)
class Throttle:
    """`limit` is bytes per second over all; `moved` and `now` are totals, of bytes and of monotonic seconds."""

    limit: int
    told: float = 0.0
    _at: float = 0.0
    _moved: int = 0

    def next(self, now: float, moved: int) -> int | None:
        """What to tell aria2 from now on, over all downloads; None while it is too early to know better."""
        if not self.told:
            self.told, self._at, self._moved = float(self.limit), now, moved
            return self.limit
        seconds = now - self._at
        if seconds < _SECONDS:
            return None
        rate = (moved - self._moved) / seconds
        wanted = self.told * (1 + _EAGERNESS * (1 - rate / self.limit))
        self.told = min(max(wanted, _LEAST * self.limit), _MOST * self.limit)
        self._at, self._moved = now, moved
        return round(self.told)
