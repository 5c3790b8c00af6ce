"""The gauge of expected pulls: few names, and none that nobody may see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.predict.forecast import HOUR, Forecast
from orchestrator.serve.foresight.gauge import OTHERS, expected_pulls

FORECAST = Forecast(0.0, {f"org/m{number:02d}": (float(number),) * 24 for number in range(40)}, "ridge", True)


def test_the_models_of_most_pulls_have_names_and_the_others_one() -> None:
    found = {(one.model, one.horizon): one.pulls for one in expected_pulls(FORECAST, 0.0, lambda _: True)}
    assert len({model for model, _ in found}) == 21
    assert found["org/m39", "6h"] == 234
    for horizon, hours in (("1h", 1), ("6h", 6), ("24h", 24)):
        total = sum(pulls for (_, span), pulls in found.items() if span == horizon)
        assert total == pytest.approx(sum(range(40)) * hours)


def test_a_closed_model_has_no_name() -> None:
    found = expected_pulls(FORECAST, 0.0, lambda model: model != "org/m39")
    assert "org/m39" not in {one.model for one in found}
    assert next(one.pulls for one in found if (one.model, one.horizon) == (OTHERS, "1h")) > 39


def test_a_forecast_that_may_not_be_used_shows_nothing() -> None:
    assert expected_pulls(replace(FORECAST, is_used=False), 0.5 * HOUR, lambda _: True) == ()
