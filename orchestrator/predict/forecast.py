"""Forecasts: how often each model will be asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

HOUR = 3600.0
"""Seconds of a step of a forecast."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Pulls that are expected of each model in each hour from `start` on, a full hour in unix seconds.

    `by` names the forecaster. `is_used` says that it beat the seasonal-naive one on this site's own history; where it
    is False, nothing may be done because of it.
    """

    start: float
    pulls: Mapping[str, tuple[float, ...]]
    by: str
    is_used: bool

    def expected(self, model: str, now: float, seconds: float) -> float:
        """The pulls of a model that are expected within `seconds` from `now` on; beyond the horizon are none."""
        counts = self.pulls.get(model, ())
        begin, end = max(0.0, now - self.start) / HOUR, (now - self.start + seconds) / HOUR
        first, last = int(begin), min(math.ceil(end), len(counts))
        return sum(counts[hour] * (min(end, hour + 1) - max(begin, hour)) for hour in range(first, last))
