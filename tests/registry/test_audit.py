"""The trail: numbered, complete, and for its owner alone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from orchestrator.errors import DiskIOError
from orchestrator.registry import audit
from orchestrator.registry.audit import Deed, Trail, TrailEvent


def event(name: str = "prod") -> TrailEvent:
    return TrailEvent(0, 1.0, "ann", Deed.MOVE, "team/model", name, "sha256:a", "sha256:b", "1.0.0")


def test_events_have_numbers_one_after_the_other(tmp_path: Path) -> None:
    one, other = Trail(tmp_path), Trail(tmp_path)
    assert [trail.add(event()).number for trail in (one, other, one)] == [1, 2, 3]
    assert [found.number for found in other.after(1)] == [2, 3]
    assert list(one.after(3)) == []
    one.add(event("canary"))
    assert [(found.number, found.name) for found in other.after(3)] == [(4, "canary")]


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    threads = [threading.Thread(target=lambda: [Trail(tmp_path).add(event()) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [found.number for found in Trail(tmp_path).after(0)] == list(range(1, 81))


def test_events_that_are_not_kept_in_memory_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_KEPT", 3)
    trail = Trail(tmp_path)
    for _ in range(10):
        trail.add(event())
    assert [found.number for found in trail.after(8)] == [9, 10]
    assert [found.number for found in trail.after(2)] == list(range(3, 11))


def test_a_line_that_a_crash_left_half_is_passed_over(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    trail.add(event())
    with (tmp_path / "trail.jsonl").open("a") as file:
        file.write('{"number": 2, "wh')
    assert [found.number for found in trail.after(0)] == [1]
    assert trail.add(event()).number == 2
    assert [found.number for found in trail.after(0)] == [found.number for found in Trail(tmp_path).after(0)] == [1, 2]


def test_others_may_not_read_it(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    trail.add(event())
    assert (tmp_path / "trail.jsonl").stat().st_mode & 0o777 == 0o600
    (tmp_path / "trail.jsonl").chmod(0o644)
    with pytest.raises(DiskIOError):
        trail.add(event())
