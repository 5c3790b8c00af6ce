"""The budget: never over it, small files beside big ones, few downloads where the daemon grants few. The throttle: a
limit is met by a plant that brings less than it is told, and kept by one that could bring more.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.speeds import SpeedPlan, SpeedSpan
from orchestrator.transfer.limits import Budget, Throttle, TransferLimits, limit_at, usual

LIMIT = 20_000_000
LIMITS = st.builds(
    TransferLimits,
    connections_per_mirror=st.integers(1, 256),
    budget=st.none() | st.integers(1, 128),
    downloads=st.none() | st.integers(1, 200),
)


@given(LIMITS, st.booleans(), st.booleans(), st.integers(0, 128))
def test_within_the_limits(limits: TransferLimits, has_big: bool, has_small: bool, used: int) -> None:
    budget = Budget.of(limits, has_big=has_big, has_small=has_small, big_used=used)
    assert 1 <= budget.big_most <= limits.most
    assert budget.small_most >= 1
    assert 1 <= budget.width <= 16
    if has_big and limits.downloads is None:
        assert budget.small_most <= max(1, limits.total(1) - used)
    if limits.downloads is not None:
        assert budget.spans_most <= limits.downloads


def test_a_run_with_manners_has_fewer_and_queues_no_small_files() -> None:
    limits = TransferLimits(budget=64)
    assert Budget.of(limits, has_big=True, has_small=False, most=6).big_most == 6
    assert Budget.of(limits, has_big=False, has_small=True, most=6).small_most == 6
    assert Budget.of(limits, has_big=True, has_small=True, most=1) == Budget(1, 1, 1, 1)


def test_a_quarter_is_kept_for_small_files() -> None:
    assert Budget.of(TransferLimits(budget=64), has_big=True, has_small=True).big_most == 48
    assert Budget.of(TransferLimits(budget=64), has_big=True, has_small=False).big_most == 64


@pytest.mark.parametrize(("budget", "sources", "most"), [(None, 0, 64), (None, 3, 192), (None, 9, 256), (100, 3, 100)])
def test_each_source_has_a_bound_of_its_own_unless_a_budget_is_set(budget: int | None, sources: int, most: int) -> None:
    assert TransferLimits(budget=budget).total(sources) == most


def test_a_line_that_loses_may_have_what_a_run_may_have() -> None:
    assert Budget.of(TransferLimits(), has_big=True, has_small=False).big_most == 256
    assert Budget.of(TransferLimits(), has_big=True, has_small=True).big_most == 256 - 64 // 4
    assert Budget.of(TransferLimits(budget=100), has_big=True, has_small=False).big_most == 100
    assert Budget.of(TransferLimits(downloads=100), has_big=True, has_small=False).spans_most == 100


@pytest.mark.parametrize(("files", "connections"), [(0, 16), (1, 16), (3, 48), (9, 64)])
def test_a_run_begins_with_as_many_connections_as_other_programs(files: int, connections: int) -> None:
    assert usual(files) == connections


def test_sixty_four_small_files_and_more_are_under_way() -> None:
    assert Budget.of(TransferLimits(budget=64), has_big=False, has_small=True).small_most == 256


def test_a_daemon_that_runs_five_downloads_gets_wide_ones() -> None:
    budget = Budget.of(TransferLimits(downloads=5), has_big=True, has_small=False)
    assert (budget.spans_most, budget.width) == (5, 4)


def run(brings: float, able: float, seconds: int) -> list[float]:
    """Rates, second by second, of an aria2 that brings so much of what it is told, and `able` at most."""
    throttle, moved, rates = Throttle(LIMIT), 0, []
    for second in range(seconds):
        throttle.next(float(second), moved)
        rates.append(min(able, brings * throttle.told))
        moved += round(rates[-1])
    return rates


@pytest.mark.parametrize("brings", [0.85, 0.92, 1.0, 1.08])
def test_the_limit_is_met(brings: float) -> None:
    rates = run(brings, 10.0 * LIMIT, 60)
    assert all(abs(rate / LIMIT - 1) < 0.02 for rate in rates[20:])
    assert abs(sum(rates) / 60 / LIMIT - 1) < 0.03


def test_a_slow_source_saves_nothing_up() -> None:
    throttle = Throttle(LIMIT)
    told = [throttle.next(float(second), second * LIMIT // 10) for second in range(60)]
    assert max(filter(None, told)) <= 1.25 * LIMIT


def test_not_sooner_than_aria2_has_seen_what_it_brings() -> None:
    throttle = Throttle(LIMIT)
    assert throttle.next(5.0, 0) is not None
    assert throttle.next(9.9, 5 * LIMIT) is None
    assert throttle.next(10.1, 5 * LIMIT) is not None


@pytest.mark.parametrize(
    ("epoch", "minute"),
    [(1774745999, 119), (1774746000, 180), (1792886399, 119), (1792886400, 120), (1792889999, 179), (1792890000, 120)],
)
def test_a_time_of_the_day_is_that_of_the_clock_on_the_wall(
    epoch: int, minute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Berlin the clock goes from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25."""
    every = SpeedPlan("", tuple(SpeedSpan(at, at + 1, at + 1) for at in range(240)))
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        assert limit_at(every, epoch) == minute + 1
    finally:
        monkeypatch.undo()
        time.tzset()
