"""How measurements are averaged and how they age."""

from __future__ import annotations

import pytest

from orchestrator.mirrors.stats import (
    FAILURE_HALF_LIFE,
    HALF_LIFE,
    Observation,
    Remembered,
)

NOW = 1_800_000_000.0


def test_the_first_sample_is_taken_as_it_is() -> None:
    known = Remembered("m").after(Observation(0.05, 1e6), NOW)
    assert (known.latency, known.rate_one, known.rate_many, known.seen) == (0.05, 1e6, None, NOW)


def test_the_newest_sample_weighs_half_and_old_averages_less() -> None:
    known = Remembered("m").after(Observation(0.1, 1e6), NOW)
    assert known.after(Observation(0.3, 3e6), NOW).rate_one == pytest.approx(2e6)
    assert known.after(Observation(0.3, 3e6), NOW + HALF_LIFE).rate_one == pytest.approx(2.5e6)
    assert known.after(Observation(0.3, 3e6), NOW + 20 * HALF_LIFE).latency == pytest.approx(0.3, rel=1e-4)


def test_several_connections_are_another_rate() -> None:
    known = Remembered("m").after(Observation(None, 1e6), NOW).after(Observation(None, 8e6, 16), NOW)
    assert (known.rate_one, known.rate_many, known.rate) == (1e6, 8e6, 8e6)


def test_failures_count_fade_and_are_forgiven_by_work() -> None:
    known = Remembered("m").after(Observation(0.1, 1e6), NOW)
    for _ in range(2):
        known = known.after(Observation(failed=True), NOW)
    assert known.failures_at(NOW) == 2
    assert known.failures_at(NOW + FAILURE_HALF_LIFE) == pytest.approx(1)
    assert known.after(Observation(0.1), NOW).failures == 1
    assert known.rate_one == 1e6


def test_a_clock_that_was_set_back_makes_nothing_new() -> None:
    known = Remembered("m").after(Observation(0.1, 1e6), NOW + 10 * HALF_LIFE)
    assert known.confidence(NOW) < 0.01
