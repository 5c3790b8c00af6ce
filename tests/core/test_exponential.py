"""Waits that double, and measurements that fade."""

from __future__ import annotations

import pytest

from orchestrator.core.exponential import backoff, decay


def test_backoff_doubles_up_to_a_limit_and_draws_from_nothing() -> None:
    assert [backoff(failures, 0.5, 8.0, 1.0) for failures in (1, 2, 3, 4, 5, 20, 10**6)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert backoff(9, 0.5, 8.0, 0.0) == 0.0
    assert backoff(3, 0.5, 8.0, 0.25) == 0.5


@pytest.mark.parametrize(("age", "weight"), [(0.0, 1.0), (60.0, 0.5), (120.0, 0.25), (-60.0, 1.0), (1e9, 0.0)])
def test_what_is_old_counts_half_after_each_half_life(age: float, weight: float) -> None:
    assert decay(age, 60.0) == pytest.approx(weight)
