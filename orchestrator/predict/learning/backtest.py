"""Backtest by rolling origin: from each of the last days a forecast is made of what came before, and compared.

The past is copied for each forecast, so nothing of the future is within its reach. Errors are summed over models and
hours; the intervals are of a bootstrap that draws days, whose errors belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.predict.learning.forecasters import FORECASTERS, NAIVE, Forecaster, flat, seasonal_naive
from orchestrator.predict.learning.series import DAY, WEEK, Hours, Series
from orchestrator.predict.score import Ratio, Score
from orchestrator.predict.trained import HORIZON

LEAST = 3 * WEEK
"""Hours of history without which nothing is judged: two weeks to learn from, and days to try it on."""
_MOST_DAYS = 21
_DRAWS = 1000
_SEED = 165

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Backtest:
    """The scores of the forecasters, and for a picture the last hours: all wishes that came, and those that each
    forecaster expected a day ahead."""

    scores: tuple[Score, ...]
    came: tuple[float, ...]
    expected: Mapping[str, tuple[float, ...]]


@dataclass(slots=True)
class _Errors:
    absolute: list[float]
    squared: list[float]
    ahead: list[Vector]


def backtest(series: Series, forecasters: Mapping[str, Forecaster] = FORECASTERS) -> Backtest:
    """Try the forecasters on a series. Without enough history there are no scores."""
    last = series.hours - HORIZON
    origins = range(last, max(2 * WEEK, last - _MOST_DAYS * DAY), -DAY)[::-1]
    if series.hours < LEAST or not series.models:
        return Backtest((), (), {})
    naive, even = _tried(series, origins, seasonal_naive), _tried(series, origins, flat)
    tried = {name: _tried(series, origins, forecaster) for name, forecaster in forecasters.items()}
    scores = tuple(
        Score(name, _ratio(errors.absolute, naive.absolute), _ratio(errors.squared, even.squared))
        for name, errors in tried.items()
    )
    came = series.counts.sum(axis=0)[origins[0] : last + DAY]
    expected = {name: tuple(np.concatenate(errors.ahead).tolist()) for name, errors in tried.items()}
    return Backtest(scores, tuple(came.tolist()), expected)


def winner(scores: tuple[Score, ...]) -> str | None:
    """The forecaster with the least error of those that pass the gate; None where none does."""
    good = [score for score in scores if score.is_open]
    return min(good, key=lambda score: score.mase.value).forecaster if good else None


def forecast_of(series: Series, name: str = NAIVE) -> Hours:
    """The forecast of the hours after a series."""
    return _made(FORECASTERS[name], series.counts)


def _tried(series: Series, origins: range, forecaster: Forecaster) -> _Errors:
    errors = _Errors([], [], [])
    for origin in origins:
        made = _made(forecaster, series.counts[:, :origin])
        came = series.counts[:, origin : origin + HORIZON]
        errors.absolute.append(float(np.abs(came - _median(made)).sum()))
        errors.squared.append(float(((came - made) ** 2).sum()))
        errors.ahead.append(made.sum(axis=0)[:DAY])
    return errors


def _made(forecaster: Forecaster, past: Hours) -> Hours:
    """A forecast from a copy of the past. One that is of another shape or no number is a bug of the forecaster."""
    made = forecaster(past.copy(), HORIZON)
    if made.shape != (past.shape[0], HORIZON) or not np.isfinite(made).all():
        raise ValueError(f"a forecast of shape {made.shape}, or with what is no number")
    return np.maximum(made, 0.0)


def _median(expected: Hours) -> Hours:
    """The medians of Poisson's distributions with these means, within 1: of them the absolute error is least.

    That of the means themselves is less for who says 0 to all that is wanted less than once in two hours.
    """
    return np.maximum(0.0, np.floor(expected + 1 / 3 - 0.02 / np.maximum(expected, 1e-9)))


def _ratio(errors: list[float], others: list[float]) -> Ratio:
    """The ratio of two sums over days, with its interval."""
    mine, theirs = np.array(errors), np.array(others)
    drawn = np.random.default_rng(_SEED).integers(0, len(mine), (_DRAWS, len(mine)))
    ratios = np.sort(_divided(mine[drawn].sum(axis=1), theirs[drawn].sum(axis=1)))
    (value,) = _divided(mine.sum(keepdims=True), theirs.sum(keepdims=True)).tolist()
    return Ratio(value, float(ratios[round(_DRAWS * 0.025)]), float(ratios[round(_DRAWS * 0.975)]))


def _divided(mine: Vector, theirs: Vector) -> Vector:
    # Where the other one makes no error, none is less.
    return np.where(theirs > 0, mine / np.where(theirs > 0, theirs, 1.0), np.inf)
