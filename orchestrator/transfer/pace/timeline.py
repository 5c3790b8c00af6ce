"""Bytes over time, so that the rate over any recent while can be asked."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

_KEPT = 30.0  # seconds


class Timeline:
    """Bytes that came, as a sum that grows. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._sums: deque[int] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._times)

    def add(self, now: float, fresh: int) -> None:
        """`fresh` bytes came since the last call."""
        self.bytes += fresh
        self._times.append(now)
        self._sums.append(self.bytes)
        while len(self._times) > 2 and self._times[1] < now - _KEPT:
            self._times.popleft()
            self._sums.popleft()

    def rate(self, begin: float, end: float) -> float:
        """Bytes per second between two times; 0 before the first bytes were looked for."""
        return (self._sum(end) - self._sum(begin)) / (end - begin)

    def _sum(self, at: float) -> float:
        index = bisect_right(self._times, at)
        if index == 0:
            return float(self._sums[0]) if self._sums else 0.0
        if index == len(self._times):
            return float(self._sums[-1])
        since, until = self._times[index - 1], self._times[index]
        before, after = self._sums[index - 1], self._sums[index]
        return before + (after - before) * (at - since) / (until - since)
