"""The order of sources, from plain values."""

from __future__ import annotations

import random

import pytest

from orchestrator.core.sources import Source
from orchestrator.mirrors.rank import UNKNOWN, expected_rate, rank
from orchestrator.mirrors.stats import HALF_LIFE, Observation, Quarantine, Remembered, Stats

NOW = 1_800_000_000.0
ROOT = Source("root", "https://root", is_root=True)
NEAR, FAR, NEW = (Source(name, f"https://{name}") for name in ("near", "far", "new"))
ALL = (ROOT, NEAR, FAR, NEW)


def memory(**rates: float | None) -> Stats:
    return Stats(NOW, {name: Remembered(name).after(Observation(0.1, rate), NOW) for name, rate in rates.items()})


def names(sources: tuple[Source, ...]) -> list[str]:
    return [source.name for source in sources]


def test_without_memory_the_order_stays() -> None:
    assert rank(ALL, Stats(NOW)) == ALL


def test_fast_then_unknown_then_slow() -> None:
    assert names(rank(ALL, memory(root=1e5, near=30e6, far=60e6))) == ["far", "near", "new", "root"]


def test_of_equally_fast_ones_the_nearer() -> None:
    entries = {
        "near": Remembered("near", 0.01, 5e6, seen=NOW, tried=NOW),
        "far": Remembered("far", 0.2, 5e6, seen=NOW, tried=NOW),
    }
    assert names(rank((FAR, NEAR), Stats(NOW, entries))) == ["near", "far"]


def test_old_measurements_lose_to_new_ones() -> None:
    known = Remembered("x").after(Observation(0.1, 60e6), NOW)
    assert expected_rate(known, NOW) == pytest.approx(60e6)
    assert expected_rate(known, NOW + HALF_LIFE) == pytest.approx((60e6 + UNKNOWN) / 2)
    assert expected_rate(known, NOW + 30 * HALF_LIFE) == pytest.approx(UNKNOWN, rel=1e-3)


def test_failures_push_back() -> None:
    failing = Remembered("near").after(Observation(0.1, 30e6), NOW)
    for _ in range(4):
        failing = failing.after(Observation(failed=True), NOW)
    assert names(rank((NEAR, NEW), Stats(NOW, {"near": failing}))) == ["new", "near"]


def test_quarantine_leaves_out_and_the_root_comes_last() -> None:
    bad = Quarantine(NOW, "lied")
    entries = {name: Remembered(name, rate_one=99e6, seen=NOW, quarantine=bad) for name in ("root", "near")}
    assert names(rank(ALL, Stats(NOW, entries))) == ["far", "new", "root"]


def test_every_order_of_the_same_sources_has_the_same_best() -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    known = memory(near=30e6, far=60e6, root=1e6)
    for _ in range(20):
        shuffled = random.Random(seed).sample(ALL, len(ALL))
        assert names(rank(shuffled, known)) == ["far", "near", "new", "root"]
        seed += 1
