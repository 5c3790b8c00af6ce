"""A trace for others says when and how much, and neither who nor what."""

from __future__ import annotations

from orchestrator.predict.anonymous import anonymised
from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR
from orchestrator.predict.trace import text_of

WEEK = 168 * HOUR
AT = 2900 * WEEK + 31 * HOUR + 12.5
SECRET = "canary-model"
DEMANDS = (
    Demand(AT, f"org/{SECRET}@main", 16_460_123_777, 16_460_123_777, 100.0, {"mirror.canary.example": 16_460_123_777}),
    Demand(AT + WEEK, f"org/{SECRET}@main", 16_460_123_777, 0, 0.1, {}),
    Demand(AT + WEEK, "mirror.canary.example", 5, 0, 0.1, {}),
)


def test_names_exact_sizes_and_dates_are_gone() -> None:
    text = text_of(anonymised(DEMANDS))
    assert "canary" not in text
    assert "16460123777" not in text
    assert str(AT)[:5] not in text


def test_hours_of_the_week_distances_and_sameness_stay() -> None:
    first, second, other = anonymised(DEMANDS)
    assert first.at == 31 * HOUR + 12.5
    assert second.at - first.at == WEEK
    assert first.model == second.model != other.model
    assert (first.size, first.is_hit, second.is_hit) == (16_000_000_000, False, True)
    assert list(first.sources.values()) == [16_000_000_000]
    assert other.size == 5


def test_a_name_is_not_the_same_as_a_model_and_as_a_source_nor_in_two_traces() -> None:
    first, _, other = anonymised(DEMANDS)
    assert not {name.split("-")[1] for name in first.sources} & {other.model.split("-")[1]}
    assert anonymised(DEMANDS)[0].model != first.model


def test_nothing_is_a_trace_of_nothing() -> None:
    assert anonymised(()) == ()
