"""Reports of `predict`, as the data of their JSON documents. Moments are unix seconds; None is what is no number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from orchestrator.documents import Amount, Count
from orchestrator.predict.score import Ratio, Score
from orchestrator.predict.trained import Trained

_DAY = 24


@dataclass(frozen=True, slots=True)
class RatioEntry:
    """An error as a ratio to that of a naive forecast, with the bounds of its interval of 95 %."""

    value: Amount | None
    low: Amount | None
    high: Amount | None

    @classmethod
    def of(cls, ratio: Ratio) -> Self:
        """The entry of a ratio."""
        return cls(*(value if math.isfinite(value) else None for value in (ratio.value, ratio.low, ratio.high)))


@dataclass(frozen=True, slots=True)
class ScoreEntry:
    """The errors of a forecaster in the backtest; `passed` the gate or not."""

    forecaster: str
    mase: RatioEntry
    flat: RatioEntry
    passed: bool

    @classmethod
    def of(cls, score: Score) -> Self:
        """The entry of a score."""
        return cls(score.forecaster, RatioEntry.of(score.mase), RatioEntry.of(score.flat), score.is_open)


@dataclass(frozen=True, slots=True)
class ForecastEntry:
    """The pulls of a model that are expected in the first day, and in each hour."""

    model: str
    day: Amount
    pulls: tuple[Amount, ...]


@dataclass(frozen=True, slots=True)
class ForecastDocument:
    """The data of `predict train` and `predict show`: the forecast from `start` on, the most wanted model first.

    `used` says whether `serve` may act on it, where `predict.enabled` is on, and `reason` why.
    """

    start: Amount
    forecaster: str
    used: bool
    enabled: bool
    fresh: bool
    reason: str
    hours: Count
    wishes: Count
    scores: tuple[ScoreEntry, ...]
    models: tuple[ForecastEntry, ...]

    @classmethod
    def of(cls, trained: Trained, now: float, *, enabled: bool) -> Self:
        """The data of a training."""
        found = trained.forecast
        models = [ForecastEntry(model, sum(pulls[:_DAY]), pulls) for model, pulls in found.pulls.items()]
        return cls(
            found.start,
            found.by,
            found.is_used,
            enabled,
            trained.is_fresh(now),
            trained.reason,
            trained.hours,
            trained.wishes,
            tuple(map(ScoreEntry.of, trained.scores)),
            tuple(sorted(models, key=lambda entry: (-entry.day, entry.model))),
        )


@dataclass(frozen=True, slots=True)
class EvaluationDocument:
    """The data of `predict evaluate`: what the forecasters were tried on, and which of them would be used, if any."""

    demand: str
    hours: Count
    wishes: Count
    models: Count
    forecaster: str | None
    reason: str
    scores: tuple[ScoreEntry, ...]
    picture: str | None


@dataclass(frozen=True, slots=True)
class ExportedTraceDocument:
    """The data of `predict export`."""

    file: str
    wishes: Count
    anonymous: bool


def scores_of(scores: Sequence[Score]) -> tuple[ScoreEntry, ...]:
    """The entries of scores."""
    return tuple(map(ScoreEntry.of, scores))
