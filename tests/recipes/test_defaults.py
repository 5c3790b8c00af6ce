"""Values without a `--set`: weights from rates."""

from __future__ import annotations

from orchestrator.recipes.defaults import weighted
from orchestrator.recipes.readers import StreamServer


def test_weights_stand_as_the_rates_do() -> None:
    assert weighted(["a:1", "b:2"], [40e6, 10e6]) == [StreamServer("a:1", 4), StreamServer("b:2", 1)]
    assert weighted(["a", "[::1]"], [1.0, 1.0]) == [StreamServer("a:80", 1), StreamServer("[::1]:80", 1)]
    assert weighted(["a:1", "b:2"], [1e9, 1.0])[1].weight == 1
