"""Training: the history of a site becomes a forecast, and the gate says whether anything may be done because of it."""

from __future__ import annotations

from orchestrator.predict.forecast import HOUR, Forecast
from orchestrator.predict.learning.backtest import LEAST, backtest, forecast_of, winner
from orchestrator.predict.learning.forecasters import NAIVE
from orchestrator.predict.learning.series import DAY, MOST_HOURS, WEEK, Series
from orchestrator.predict.score import Score
from orchestrator.predict.trained import Trained


def train(series: Series) -> Trained:
    """Try all forecasters on a series, and forecast with the best that passes the gate; else with the naive one."""
    scores = backtest(series).scores
    best = winner(scores)
    made = forecast_of(series, best or NAIVE)
    pulls = dict(zip(series.models, (tuple(row) for row in made.round(4).tolist()), strict=True))
    forecast = Forecast((series.first + series.hours) * HOUR, pulls, best or NAIVE, best is not None)
    return Trained(forecast, scores, series.hours, int(series.counts.sum()), reason_of(series, scores, best))


def reason_of(series: Series, scores: tuple[Score, ...], best: str | None) -> str:
    """The sentence that says why a forecast is used, or why none is."""
    if not series.models:
        return f"nothing was asked for in the last {MOST_HOURS // WEEK} weeks"
    if not scores:
        return f"{LEAST // DAY} days of demand are needed to judge forecasts, and there are {series.hours // DAY}"
    if best is None:
        return "no forecaster is better than the naive ones on this history"
    mase = next(score.mase for score in scores if score.forecaster == best)
    return f"{best} errs {mase.value:.2f} times as much as a week ago would ({mase.low:.2f} to {mase.high:.2f})"
