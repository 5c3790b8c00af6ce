"""Bytes over time: the rate over any recent while, between the moments at which somebody looked."""

from __future__ import annotations

import pytest

from orchestrator.transfer.pace.timeline import Timeline


def made(*points: tuple[float, int]) -> Timeline:
    timeline = Timeline()
    for at, fresh in points:
        timeline.add(at, fresh)
    return timeline


@pytest.mark.parametrize(
    ("begin", "end", "rate"), [(10.0, 12.0, 100.0), (10.5, 11.5, 100.0), (9.0, 11.0, 50.0), (11.0, 13.0, 50.0)]
)
def test_a_rate_is_interpolated_and_nothing_came_before_or_after(begin: float, end: float, rate: float) -> None:
    assert made((10.0, 0), (11.0, 100), (12.0, 100)).rate(begin, end) == pytest.approx(rate)


def test_nothing_was_seen_yet() -> None:
    assert Timeline().rate(0.0, 1.0) == 0.0


def test_what_is_long_ago_is_forgotten_and_the_sum_stays() -> None:
    timeline = made(*((float(second), 10) for second in range(1000)))
    assert timeline.bytes == 10_000
    assert timeline.rate(990.0, 999.0) == pytest.approx(10.0)
    assert len(timeline) < 50
