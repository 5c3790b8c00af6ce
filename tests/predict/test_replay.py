"""Replay: what users wait with guesses and without, and what guesses may not do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR, Forecast
from orchestrator.predict.replay import Premises, replay
from orchestrator.predict.worth import GuessTerms

GB = 10**9
DAY = 24 * HOUR
WEEK = 7 * DAY
PREMISES = Premises(5 * GB, 1e7)
TERMS = GuessTerms(1e-9, 1000 * GB)


def wish(at: float, model: str, size: int = GB) -> Demand:
    return Demand(at, model, size, size, 0.0)


def rounds(days: int, models: int = 12) -> list[Demand]:
    """Each model at its hour of each day, in a cache that holds five of them."""
    return [wish(day * DAY + 2 * number * HOUR + 600, f"m{number}") for day in range(days) for number in range(models)]


def seen(past: Sequence[Demand], now: float) -> Forecast:
    """What was asked for at the same hours yesterday."""
    pulls: dict[str, tuple[float, ...]] = {}
    for demand in past:
        hours = [0.0] * 24
        hours[int(demand.at % DAY // HOUR)] = 5.0
        pulls[demand.model] = tuple(hours)
    return Forecast(now, pulls, "daily", True)


def of(model: str, hour: int, is_used: bool = True) -> Forecast:
    return Forecast(28 * DAY, {model: (0.0,) * hour + (9.0,)}, "fixed", is_used)


def test_a_pattern_that_a_small_cache_cannot_hold_is_served_ahead() -> None:
    trace = rounds(42)
    without = replay(trace, PREMISES, 28 * DAY)
    ahead = replay(trace, PREMISES, 28 * DAY, seen, TERMS)
    assert without.hits == 0
    assert without.waited == without.asked * 100
    assert ahead.waited < 0.1 * without.waited
    assert ahead.fetched <= 1.05 * without.fetched
    assert ahead.evicted <= without.evicted


def test_a_model_that_came_in_part_needs_its_rest_only() -> None:
    trace = [wish(HOUR, "a"), *(wish(WEEK + number, f"m{number}") for number in range(99)), wish(28 * DAY + 50, "a")]
    ahead = replay(trace, PREMISES, 28 * DAY, lambda _past, _now: of("a", 0), TERMS)
    assert ahead.guessed == GB // 2
    assert ahead.waited == 50


def test_a_guess_takes_no_room_of_what_was_used() -> None:
    trace = [wish(HOUR, "a"), *(wish(WEEK + number * HOUR, f"m{number}", GB) for number in range(60))]
    full = [*trace, *(wish(27 * DAY, f"m{59 - number}") for number in range(5))]
    again = [wish(29 * DAY, f"m{59 - number}") for number in range(5)]
    ahead = replay([*full, *again], replace(PREMISES, size=5 * GB), 28 * DAY, lambda _past, _now: of("a", 1), TERMS)
    assert (ahead.guessed, ahead.hits, ahead.evicted) == (0, 5, 0)


def test_room_for_guesses_is_made_when_a_user_needs_room_and_not_before() -> None:
    large, small = 17 * GB // 10, 8 * GB // 10
    known = [wish(HOUR + number * 60, f"x{number}") for number in range(200)]
    full = [wish(26 * DAY, "a", large), *(wish(27 * DAY + number, f"m{number}") for number in range(5))]
    last = wish(27 * DAY + HOUR, "last", 14 * GB // 10)  # 0.6 GB are free now
    asked = [wish(28 * DAY + 2 * HOUR, "new", small), wish(28 * DAY + 4 * HOUR, "a", large), replace(last, at=29 * DAY)]

    def foresee(_past: Sequence[Demand], _now: float) -> Forecast:
        return of("a", 4)

    ahead = replay([*known, *full, last, *asked], PREMISES, 28 * DAY, foresee, TERMS)
    assert (ahead.guessed, ahead.hits, ahead.evicted) == (large, 2, 2)
    assert replay([*known, *full, last, *asked[1:]], PREMISES, 28 * DAY, foresee, TERMS).guessed == 0


def test_a_wrong_guess_goes_before_anything_that_was_used() -> None:
    first = [wish(HOUR + number * HOUR, f"m{number}") for number in range(100)]
    kept = [wish(27 * DAY + number, f"m{number}") for number in range(4)]
    later = [wish(29 * DAY, "new"), *(wish(30 * DAY, f"m{number}") for number in range(4))]
    trace = [*first, wish(26 * DAY, "a", GB), wish(26 * DAY + HOUR, "big", 5 * GB), *kept, *later]
    ahead = replay(trace, PREMISES, 28 * DAY, lambda _past, _now: of("a", 1), TERMS)
    assert (ahead.guessed, ahead.dropped, ahead.evicted, ahead.hits) == (GB, 1, 0, 4)


def test_wrong_guesses_end_guessing() -> None:
    def wrong(past: Sequence[Demand], now: float) -> Forecast:
        return Forecast(now, {demand.model: (9.0,) * 24 for demand in past if demand.model.startswith("old")}, "", True)

    old = [wish(HOUR + number * HOUR, f"old{number}") for number in range(100)]
    new = [wish(2 * WEEK + number * 6 * HOUR, f"new{number}") for number in range(200)]
    without = replay([*old, *new], PREMISES, 28 * DAY)
    ahead = replay([*old, *new], PREMISES, 28 * DAY, wrong, TERMS)
    assert 0 < ahead.guessed <= 0.05 * without.fetched
    assert ahead.waited == without.waited


def test_a_forecast_that_may_not_be_used_changes_nothing() -> None:
    def unproven(past: Sequence[Demand], now: float) -> Forecast:
        return replace(seen(past, now), is_used=False)

    trace = rounds(42)
    assert replay(trace, PREMISES, 28 * DAY, unproven, TERMS) == replay(trace, PREMISES, 28 * DAY)


def test_a_forecast_is_made_of_the_past_alone() -> None:
    asked: list[tuple[float, float]] = []

    def spy(past: Sequence[Demand], now: float) -> None:
        asked.append((past[-1].at, now))

    replay(rounds(42), PREMISES, 28 * DAY, spy, TERMS)
    assert len(asked) == 14
    assert all(newest < now for newest, now in asked)
