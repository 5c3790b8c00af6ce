"""The backtest and its gate: who knows more than the naive forecasts gets through, and nobody else."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.predict.learning.backtest import backtest, forecast_of, winner
from orchestrator.predict.learning.forecasters import FORECASTERS, NAIVE, Forecaster, ridge, seasonal_naive, smoothing
from orchestrator.predict.learning.generate import KINDS, generate, shuffled
from orchestrator.predict.learning.series import DAY, WEEK, Hours, Series, series_of
from orchestrator.predict.trained import HORIZON

PATTERNS = ("daily", "weekly", "jobs", "releases", "new-models")


def series(kind: str, seed: int = 2, *, is_shuffled: bool = False) -> Series:
    print(f"kind {kind}, seed {seed}")
    demands = generate(kind, seed, models=10, weeks=6)
    return series_of(shuffled(demands, seed) if is_shuffled else demands)


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_pattern_is_learned(kind: str) -> None:
    assert winner(backtest(series(kind)).scores) in ("smoothing", "ridge")


@pytest.mark.parametrize("kind", [*PATTERNS, "bursts"])
def test_where_the_same_wishes_come_by_chance_the_gate_is_shut(kind: str) -> None:
    assert winner(backtest(series(kind, is_shuffled=True)).scores) is None


@pytest.mark.parametrize("seed", range(3))
def test_on_noise_the_gate_is_shut(seed: int) -> None:
    assert winner(backtest(series("noise", seed)).scores) is None


def _backwards(past: Hours, hours: int) -> Hours:
    return seasonal_naive(past, hours)[:, ::-1]


def _other_models(past: Hours, hours: int) -> Hours:
    return smoothing(past, hours)[::-1]


def _far_too_much(past: Hours, hours: int) -> Hours:
    return 3 * smoothing(past, hours)


def _nothing(past: Hours, hours: int) -> Hours:
    return np.zeros((past.shape[0], hours))


@pytest.mark.parametrize("sabotaged", [_backwards, _other_models, _far_too_much, _nothing])
def test_a_forecaster_that_is_worse_than_the_naive_ones_is_off(sabotaged: Forecaster) -> None:
    found = backtest(series("weekly"), {"sabotaged": sabotaged})
    assert winner(found.scores) is None


def test_the_past_leads_to_nothing_of_the_future() -> None:
    whole = series("daily")
    lengths = []

    def prying(past: Hours, hours: int) -> Hours:
        assert past.base is None
        assert (past == whole.counts[:, : past.shape[1]]).all()
        lengths.append(past.shape[1])
        past[:] = 1e9  # nor is it that of the next one
        return np.zeros((past.shape[0], hours))

    before = whole.counts.copy()
    backtest(whole, {"prying": prying})
    assert (whole.counts == before).all()
    assert max(lengths) + HORIZON <= whole.hours


@pytest.mark.parametrize("made", [np.zeros((3, 1)), np.full((10, HORIZON), np.nan)])
def test_a_forecast_that_is_none_is_a_bug_and_no_score(made: Hours) -> None:
    with pytest.raises(ValueError, match="a forecast of shape"):
        backtest(series("daily"), {"broken": lambda past, hours: made})


def test_little_history_is_not_judged() -> None:
    assert backtest(series_of(generate("daily", 1, models=3, weeks=2))).scores == ()
    assert backtest(series_of(())).scores == ()


def test_the_same_series_has_the_same_scores() -> None:
    found = series("releases")
    assert backtest(found).scores == backtest(found).scores


def test_the_naive_forecast_is_1_of_itself() -> None:
    (naive, *_) = backtest(series("weekly")).scores
    assert (naive.forecaster, naive.mase.value) == (NAIVE, 1.0)


def test_the_naive_forecast_is_the_week_before_or_the_day() -> None:
    past = np.arange(WEEK + 5.0)[None, :]
    assert seasonal_naive(past, 48)[0].tolist() == [5.0 + hour for hour in range(48)]
    assert seasonal_naive(past[:, : DAY + 1], 48)[0].tolist() == [1.0 + hour % 24 for hour in range(48)]
    assert seasonal_naive(past[:, :5], 48).sum() == 0


@pytest.mark.parametrize("forecaster", FORECASTERS.values(), ids=FORECASTERS)
@pytest.mark.parametrize("hours", [0, 1, DAY - 1, DAY, WEEK - 1, WEEK, WEEK + 1, 2 * WEEK + 5])
def test_any_length_of_the_past_will_do(forecaster: Forecaster, hours: int) -> None:
    for past in (np.zeros((2, hours)), np.ones((2, hours))):
        made = forecaster(past.copy(), HORIZON)
        assert made.shape == (2, HORIZON)
        assert np.isfinite(made).all()
        assert (made >= 0).all()


@pytest.mark.parametrize("forecaster", [smoothing, ridge])
def test_what_comes_each_hour_is_forecast(forecaster: Forecaster) -> None:
    assert forecaster(np.ones((2, 5 * WEEK)), HORIZON) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("forecaster", [smoothing, ridge])
def test_what_comes_in_one_hour_of_the_day_is_forecast_in_that_hour(forecaster: Forecaster) -> None:
    past = np.zeros((2, 5 * WEEK))
    past[:, 7::DAY] = 3
    made = forecaster(past, HORIZON)
    assert set(np.argsort(made[0])[-2:].tolist()) == {7, 7 + DAY}


def test_the_forecast_begins_after_the_series() -> None:
    whole = series("daily")
    cut = Series(whole.models, whole.first, whole.counts[:, :-5])
    assert (forecast_of(cut) == seasonal_naive(cut.counts, HORIZON)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_trace_is_made_by_its_seed(kind: str) -> None:
    first = generate(kind, 3, models=4, weeks=2)
    assert first == generate(kind, 3, models=4, weeks=2) != generate(kind, 4, models=4, weeks=2)
    assert list(first) == sorted(first, key=lambda demand: demand.at)
    mixed = shuffled(first, 3)
    assert sorted(demand.model for demand in mixed) == sorted(demand.model for demand in first)
    assert first[0].at <= mixed[0].at <= mixed[-1].at <= first[-1].at
