"""A limit is met by a plant that brings less than it is told, and kept by one that could bring more."""

from __future__ import annotations

import pytest

from orchestrator.transfer.throttle import Throttle

LIMIT = 20_000_000


def run(brings: float, able: float, seconds: int) -> list[float]:
    """Rates, second by second, of an aria2 that brings so much of what it is told, and `able` at most."""
    throttle, moved, rates = Throttle(LIMIT), 0, []
    told = throttle.next(0.0, 0)
    for second in range(1, seconds + 1):
        assert told is not None
        rates.append(min(able, brings * told))
        moved += round(rates[-1])
        told = throttle.next(float(second), moved)
    return rates


@pytest.mark.parametrize("brings", [0.85, 0.92, 1.0, 1.08])
def test_the_limit_is_met(brings: float) -> None:
    rates = run(brings, 10.0 * LIMIT, 30)
    assert all(abs(rate / LIMIT - 1) < 0.02 for rate in rates[8:])
    assert abs(sum(rates) / 30 / LIMIT - 1) < 0.03


def test_a_slow_source_saves_nothing_up() -> None:
    throttle = Throttle(LIMIT)
    told = [throttle.next(float(second), second * LIMIT // 10) for second in range(60)]
    assert max(filter(None, told)) <= 1.25 * LIMIT


def test_not_before_a_second_has_passed() -> None:
    throttle = Throttle(LIMIT)
    assert throttle.next(5.0, 0) == LIMIT
    assert throttle.next(5.9, LIMIT) is None
    assert throttle.next(6.1, LIMIT) is not None
