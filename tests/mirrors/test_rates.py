"""How many connections are measured, and how many of them are enough."""

from __future__ import annotations

import pytest

from orchestrator.mirrors.rates import Rates, enough, rungs, still_grows


@pytest.mark.parametrize(
    ("budget", "numbers"),
    [(1, ()), (2, (2,)), (4, (4,)), (16, (4, 16)), (20, (4, 16, 20)), (64, (4, 16, 64)), (1024, (4, 16, 64, 256))],
)
def test_what_is_measured_ends_at_the_budget(budget: int, numbers: tuple[int, ...]) -> None:
    assert rungs(budget) == numbers


@pytest.mark.parametrize(
    ("rates", "number", "grows"),
    [
        ((), None, False),
        (((1, 1e6),), 1, False),
        (((1, 1e6), (4, 1.1e6)), 1, False),
        (((1, 1e6), (4, 4e6), (16, 4.2e6)), 4, False),
        (((1, 1e6), (4, 4e6), (16, 16e6), (64, 50e6)), 64, True),
        (((1, 1e6), (4, 4e6), (16, 2e6)), 4, False),
    ],
)
def test_the_fewest_that_bring_all(rates: Rates, number: int | None, grows: bool) -> None:
    found = enough(rates)
    assert (found[0] if found else None) == number
    assert still_grows(rates) is grows
