"""The gauge of pulls that are expected: a few models by their names, and all others together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.predict.forecast import HOUR, Forecast

HORIZONS = {"1h": HOUR, "6h": 6 * HOUR, "24h": 24 * HOUR}
"""The spans of time that the gauge has, by their names."""
OTHERS = "others"
"""The name of all models that have none of their own, and of closed ones."""
_MOST = 20


@dataclass(frozen=True, slots=True)
class ExpectedPulls:
    """The pulls of a model that are expected within a span of time."""

    model: str
    horizon: str
    pulls: float


def expected_pulls(forecast: Forecast, now: float, is_open: Callable[[str], bool]) -> tuple[ExpectedPulls, ...]:
    """The gauge at a time; nothing where the forecast may not be used. `is_open` says of which models the name may be
    seen."""
    if not forecast.is_used:
        return ()
    day = {model: forecast.expected(model, now, HORIZONS["24h"]) for model in forecast.pulls}
    most = sorted((model for model in day if day[model] > 0), key=lambda model: (-day[model], model))[:_MOST]
    named = [model for model in most if is_open(model)]
    found = []
    for horizon, seconds in HORIZONS.items():
        pulls = {model: forecast.expected(model, now, seconds) for model in forecast.pulls}
        found += [ExpectedPulls(model, horizon, pulls[model]) for model in named]
        rest = sum(count for model, count in pulls.items() if model not in named)
        found.append(ExpectedPulls(OTHERS, horizon, rest))
    return tuple(found)
