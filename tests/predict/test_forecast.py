"""How much a forecast expects within a time."""

from __future__ import annotations

import pytest

from orchestrator.predict.forecast import HOUR, Forecast


@pytest.mark.parametrize(
    ("begin", "seconds", "expected"),
    [(0, HOUR, 2.0), (0, 3 * HOUR, 7.0), (HOUR / 2, HOUR, 3.0), (2.5 * HOUR, 9 * HOUR, 0.5), (-HOUR, HOUR, 0.0)],
)
def test_hours_count_by_their_share(begin: float, seconds: float, expected: float) -> None:
    forecast = Forecast(7200.0, {"org/m": (2.0, 4.0, 1.0)}, "naive", True)
    assert forecast.expected("org/m", 7200.0 + begin, seconds) == pytest.approx(expected)
    assert forecast.expected("org/other", 7200.0 + begin, seconds) == 0
