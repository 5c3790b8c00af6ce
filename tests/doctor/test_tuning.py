"""Settings that fit what was measured, and only where it is clear."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.sources import Source
from orchestrator.doctor.history import Past
from orchestrator.doctor.tuning import Change, Current, suggest
from orchestrator.mirrors.stats import Quarantine, Remembered, Stats

ROOT = Source("root", "https://root.example.com", is_root=True)
ONE, TWO = Source("one", "https://one.example.com"), Source("two", "https://two.example.com")
NOW = Current(4, 64, None, 10.0, 10.0, (ONE, TWO), ROOT)
NOTHING = Stats(0.0)


def changes(stats: Stats = NOTHING, past: tuple[Past, ...] = (), now: Current = NOW) -> dict[str, Change]:
    return {change.key: change for change in suggest(now, stats, past)}


def known(**sources: Remembered) -> Stats:
    """What is remembered of `root`, `one` and `two`."""
    return Stats(1.0, {{"root": ROOT, "one": ONE, "two": TWO}[name].address: it for name, it in sources.items()})


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
def test_the_connections_that_were_quickest_are_advised(
    rates: tuple[tuple[int, float], ...], connections: int | None
) -> None:
    found = changes(known(root=Remembered("root", rates=rates))).get("transfer.connections_per_mirror")
    assert (found.new if found else None) == connections
    if found:
        assert "16.0 MB/s over 16" in found.reason


def test_timeouts_grow_with_the_slowest_answer() -> None:
    memory = Stats(1.0, {ROOT.address: Remembered("root", latency=1.2)})
    found = changes(memory)
    assert found["transfer.etag_timeout"].new == found["transfer.download_timeout"].new == 24.0
    assert changes(Stats(1.0, {ROOT.address: Remembered("root", latency=0.1)})) == {}


def test_averages_stand_in_for_a_source_that_was_never_probed_with_several() -> None:
    pulled = Remembered("root", rate_one=1e6, rate_many=30e6)
    assert changes(known(root=pulled))["transfer.connections_per_mirror"].new == 16


def test_a_fast_line_takes_fewer_connections() -> None:
    fast = Remembered("root", rates=((1, 50e6), (4, 51e6), (16, 52e6)))
    found = changes(known(root=fast), now=replace(NOW, connections=16))
    assert found["transfer.connections_per_mirror"].new == 4


def test_many_sources_take_a_larger_budget() -> None:
    ladder = ((1, 1e6), (4, 4e6), (16, 16e6), (64, 64e6))
    found = changes(known(root=Remembered("root", rates=ladder), one=Remembered("one", rates=ladder)))
    assert (found["transfer.connections_per_mirror"].new, found["transfer.connection_budget"].new) == (64, 128)
    assert found["transfer.connection_budget"].reason == "the sources need so many: root 64, one 64"


def test_sources_that_few_connections_fill_take_no_larger_budget() -> None:
    ladder = ((1, 1e6), (4, 4e6), (16, 16e6), (64, 64e6))
    filled = ((1, 1e6), (4, 4e6), (16, 4.1e6))
    memory = known(root=Remembered("root", rates=ladder), one=Remembered("one", rates=filled))
    assert changes(memory, now=replace(NOW, budget=68)).keys() == {"transfer.connections_per_mirror"}


def test_small_files_that_took_long_ask_for_more_jobs() -> None:
    past = (Past(1.0, "a/b@main", 10**6, 60.0, {"one": 10**6}),)
    assert changes(past=past, now=replace(NOW, jobs=4))["transfer.jobs"].new == 64
    assert "transfer.jobs" not in changes(past=past)


def test_mirrors_by_what_they_sent() -> None:
    stats = known(one=Remembered("one", rate_many=1e6), two=Remembered("two", rate_many=9e6))
    assert changes(stats)["mirror"].new == (TWO, ONE)
    assert "mirror" not in changes(known(one=Remembered("one", rate_many=9e6), two=Remembered("two", rate_many=1e6)))


def test_a_mirror_in_quarantine_comes_last_and_counts_for_nothing() -> None:
    bad = Remembered("one", rate_many=90e6, quarantine=Quarantine(0.0, "lied"))
    found = changes(known(one=bad, two=Remembered("two", rate_many=1e6)))
    assert found["mirror"].new == (TWO, ONE)
    assert "transfer.connections_per_mirror" not in found
