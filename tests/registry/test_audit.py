"""The trail: numbered, complete, and for its owner alone."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from orchestrator.errors import DiskIOError, GlmAriaError
from orchestrator.registry import audit
from orchestrator.registry.audit import Deed, Trail, TrailEvent


def event(name: str = "prod") -> TrailEvent:
    return TrailEvent(0, 1.0, "ann", Deed.MOVE, "team/model", name, "sha256:a", "sha256:b", "1.0.0")


def test_events_have_numbers_one_after_the_other(tmp_path: Path) -> None:
    one, other = Trail(tmp_path), Trail(tmp_path)
    assert [found.number for trail in (one, other, one) for found in trail.add(event())] == [1, 2, 3]
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
    monkeypatch.setattr(audit, "_MARKED", 4)
    trail = Trail(tmp_path)
    for _ in range(10):
        trail.add(event())
    assert [found.number for found in trail.after(8)] == [9, 10]
    for number in range(8):
        assert [found.number for found in trail.after(number)] == list(range(number + 1, 11))


def test_a_line_that_a_crash_left_half_is_passed_over(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    trail.add(event())
    with (tmp_path / "trail.jsonl").open("a") as file:
        file.write('{"number": 2, "wh')
    assert [found.number for found in trail.after(0)] == [1]
    assert [found.number for found in trail.add(event())] == [2]
    assert [found.number for found in trail.after(0)] == [found.number for found in Trail(tmp_path).after(0)] == [1, 2]


def test_others_may_not_read_it(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    trail.add(event())
    assert (tmp_path / "trail.jsonl").stat().st_mode & 0o777 == 0o600
    (tmp_path / "trail.jsonl").chmod(0o644)
    with pytest.raises(DiskIOError):
        trail.add(event())


def test_a_short_write_adds_nothing_and_is_told(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    trail.add(event())
    size = (tmp_path / "trail.jsonl").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
    try:
        with pytest.raises(GlmAriaError):
            trail.add(event(), event())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "trail.jsonl").stat().st_size == size
    assert [found.number for found in trail.add(event(), event())] == [2, 3]
    assert [found.number for found in trail.after(0)] == [1, 2, 3]


@pytest.mark.parametrize("length", [1, 5], ids=["shorter", "longer"])
def test_a_trail_that_was_moved_away_begins_anew_for_who_follows_it(tmp_path: Path, length: int) -> None:
    trail, other = Trail(tmp_path), Trail(tmp_path)
    trail.add(*[event()] * 3)
    assert trail.newest() == other.newest() == 3
    assert trail.newest(lambda model: model == "no/model") == 0
    (tmp_path / "trail.jsonl").rename(tmp_path / "trail.old")
    trail.add(*[event(f"new-{number}") for number in range(length)])
    for one in (trail, other):
        assert one.newest() == length
        assert [found.name for found in one.after(0)] == [f"new-{number}" for number in range(length)]
    # Cut short is another one, too.
    os.truncate(tmp_path / "trail.jsonl", 0)
    assert other.newest() == 0


@pytest.mark.parametrize(
    "odd",
    [
        {"model": "Odd Model"},
        {"model": "uploads/x"},
        {"model": None},
        {"at": 1e999},
        {"at": float("nan")},
        {"at": 10**400},
        {"number": -1},
        {"number": 10**30},
        {"deed": "other"},
        {"name": None},
    ],
    ids=str,
)
def test_an_odd_line_is_passed_over(tmp_path: Path, odd: dict[str, object]) -> None:
    trail = Trail(tmp_path)
    trail.add(event())
    with (tmp_path / "trail.jsonl").open("a") as file:
        file.write(json.dumps(asdict(replace(event(), number=2)) | odd) + "\n")
    assert [found.number for found in trail.add(event())] == [2]
    assert [found.number for found in trail.after(0)] == [1, 2]


def test_without_locks_nothing_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(DiskIOError, match="must have locks"):
        Trail(tmp_path).add(event())
    assert not (tmp_path / "trail.jsonl").exists()


def test_events_are_known_whatever_their_number(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    trail.add(event("one"), event("two"))
    assert trail.has([event("two"), event("three")]) == {event("two")}
