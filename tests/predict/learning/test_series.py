"""Wishes become counts by model and hour."""

from __future__ import annotations

from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR
from orchestrator.predict.learning.series import MOST_HOURS, MOST_MODELS, series_of


def wish(model: str, hour: float) -> Demand:
    return Demand(hour * HOUR, model, 1, 1, 0.0)


def test_hours_are_counted_and_those_without_a_wish_are_zero() -> None:
    found = series_of((wish("a", 100), wish("b", 100.9), wish("a", 103.5), wish("a", 103.9)))
    assert (found.models, found.first) == (("a", "b"), 100)
    assert found.counts.tolist() == [[1, 0, 0, 2], [1, 0, 0, 0]]


def test_the_hour_that_is_not_over_does_not_count() -> None:
    found = series_of((wish("a", 100), wish("a", 104.2)), until=104.5 * HOUR)
    assert found.counts.tolist() == [[1, 0, 0, 0]]


def test_what_is_too_old_is_left_out() -> None:
    found = series_of((wish("old", 0), wish("a", 5000)))
    assert (found.models, found.hours) == (("a",), MOST_HOURS)


def test_of_too_many_models_the_most_wanted_are_left() -> None:
    wishes = [wish(f"m{number:04d}", 10) for number in range(MOST_MODELS + 5)] + [wish("m0504", 10)]
    found = series_of(wishes)
    assert len(found.models) == MOST_MODELS
    assert found.models[0] == "m0504"


def test_nobody_asked_for_anything() -> None:
    found = series_of(())
    assert (found.models, found.hours) == ((), 0)
