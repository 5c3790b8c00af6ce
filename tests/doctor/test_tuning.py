"""Settings that fit what was measured, and only where it is clear."""

from __future__ import annotations

import pytest

from orchestrator.core.sources import Source
from orchestrator.doctor.history import Past
from orchestrator.doctor.tuning import Change, Current, Figures, suggest
from orchestrator.mirrors.stats import Remembered, Stats

ROOT = Source("root", "https://root.example.com", is_root=True)
ONE, TWO = Source("one", "https://one.example.com"), Source("two", "https://two.example.com")
NOW = Current(4, 64, None, 10.0, 10.0, (ONE, TWO), ROOT)
NOTHING = Stats(0.0)


def changes(
    memory: Stats = NOTHING, figures: dict[str, Figures] | None = None, past: tuple[Past, ...] = ()
) -> dict[str, Change]:
    return {change.key: change for change in suggest(NOW, memory, figures or {}, past)}


def test_nothing_measured_changes_nothing() -> None:
    assert changes() == {}


@pytest.mark.parametrize(
    ("rates", "connections"),
    [
        (((1, 1e6), (4, 4e6), (16, 16e6)), 16),
        (((1, 1e6), (4, 4e6), (16, 4.4e6)), None),
        (((1, 1e6), (4, 1e6), (16, 1e6)), None),
    ],
)
def test_connections(rates: tuple[tuple[int, float], ...], connections: int | None) -> None:
    found = changes(figures={"root": Figures(rates)}).get("transfer.connections_per_mirror")
    assert (found.new if found else None) == connections
    if found:
        assert "16.0 MB/s over 16" in found.reason


def test_timeouts_grow_with_the_slowest_answer() -> None:
    memory = Stats(1.0, {ROOT.address: Remembered("root", latency=1.2)})
    found = changes(memory)
    assert found["transfer.etag_timeout"].new == found["transfer.download_timeout"].new == 24.0
    assert changes(Stats(1.0, {ROOT.address: Remembered("root", latency=0.1)})) == {}


def test_mirrors_by_what_they_sent() -> None:
    past = (Past(1.0, "a/b@main", 100, 10.0, {"one": 10, "two": 90}),)
    assert changes(past=past)["mirror"].new == (TWO, ONE)
    assert changes(past=(Past(1.0, "a/b@main", 100, 10.0, {"one": 90, "two": 10}),)) == {}
