"""Series: how often each model was asked for in each hour, as an array of models by hours."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR

Hours = NDArray[np.float64]
"""Wishes by model and hour."""
DAY = 24
WEEK = 7 * DAY
MOST_HOURS = 12 * WEEK
"""Hours that are learned from, the newest."""
MOST_MODELS = 500
"""Models that are forecast, those that were asked for most often."""


@dataclass(frozen=True, slots=True)
class Series:
    """Counts of each of `models` in each hour from `first` on, which is a number of hours since 1970."""

    models: tuple[str, ...]
    first: int
    counts: Hours

    @property
    def hours(self) -> int:
        """The hours that it covers."""
        return int(self.counts.shape[1])


def series_of(demands: Sequence[Demand], until: float | None = None) -> Series:
    """The series of all full hours until `until`, a moment; None: until the last wish, with its hour."""
    end = int(until // HOUR) if until is not None else math.floor(max((d.at for d in demands), default=0) / HOUR) + 1
    first = max(min((int(d.at // HOUR) for d in demands), default=end), end - MOST_HOURS)
    known = [(d.model, int(d.at // HOUR) - first) for d in demands if first <= d.at // HOUR < end]
    often = Counter(model for model, _ in known)
    models = sorted(often, key=lambda model: (-often[model], model))[:MOST_MODELS]
    rows = {model: row for row, model in enumerate(models)}
    counts = np.zeros((len(models), max(0, end - first)))
    for model, hour in known:
        if model in rows:
            counts[rows[model], hour] += 1
    return Series(tuple(models), first, counts)
