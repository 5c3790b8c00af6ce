"""The budget: never over it, small files beside big ones, few downloads where the daemon grants few."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.transfer.budget import Budget
from orchestrator.transfer.interface import Limits

LIMITS = st.builds(
    Limits,
    connections_per_mirror=st.integers(1, 64),
    budget=st.integers(1, 128),
    downloads=st.none() | st.integers(1, 200),
)


@given(LIMITS, st.booleans(), st.booleans(), st.integers(0, 128))
def test_within_the_limits(limits: Limits, has_big: bool, has_small: bool, used: int) -> None:
    budget = Budget.of(limits, has_big=has_big, has_small=has_small, big_used=used)
    assert 1 <= budget.big_most <= limits.budget
    assert budget.small_most >= 1
    assert 1 <= budget.width <= 16
    if has_big and limits.downloads is None:
        assert budget.small_most <= max(1, limits.budget - used)
    if limits.downloads is not None and limits.downloads < limits.budget:
        assert budget.spans_most <= limits.downloads


def test_a_quarter_is_kept_for_small_files() -> None:
    assert Budget.of(Limits(budget=64), has_big=True, has_small=True).big_most == 48
    assert Budget.of(Limits(budget=64), has_big=True, has_small=False).big_most == 64


def test_sixty_four_small_files_and_more_are_under_way() -> None:
    assert Budget.of(Limits(budget=64), has_big=False, has_small=True).small_most == 256


def test_a_daemon_that_runs_five_downloads_gets_wide_ones() -> None:
    budget = Budget.of(Limits(downloads=5), has_big=True, has_small=False)
    assert (budget.spans_most, budget.width) == (5, 4)
