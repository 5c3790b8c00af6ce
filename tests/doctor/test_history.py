"""The history of pulls on the disk: private, capped, and readable whatever it holds."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchestrator.core.network.resolvers import NameServer, Standing
from orchestrator.doctor.history import MOST, History, Past, entries_of, rates_over_time
from orchestrator.net.lookup.resolver_health import keep_standings, read_standings
from orchestrator.pulling.report import FileReport, FileState, ModelReport, PullReport
from tests import plain


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stage").mkdir()
    return tmp_path


def test_the_newest_are_kept(folder: Path) -> None:
    history = History(folder)
    assert history.read() == ()
    entries = [Past(float(at), "org/m@main", 10, 2.0, {"root": 10}) for at in range(MOST + 500)]
    history.add(entries[:-1])
    history.add(entries[-1:])
    assert history.read() == tuple(entries[-MOST:])
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600
    assert len(history.path.read_bytes().splitlines()) <= MOST + 200


def test_a_line_without_a_word_about_limits_had_none(folder: Path) -> None:
    history = History(folder)
    held = Past(1.0, "org/m@main", 10, 2.0, {"root": 10}, is_held=True)
    history.add([held])
    assert history.read() == (held,)
    history.path.write_text('{"at": 1.0, "model": "m", "size": 1, "seconds": 1.0, "sources": {}}\n')
    assert [one.is_held for one in history.read()] == [False]


def test_broken_lines_are_passed_over(folder: Path) -> None:
    history = History(folder)
    good = Past(1.0, "org/m@main", 10, 2.0, {"root": 10})
    history.add([good])
    with history.path.open("a") as file:
        file.write('{"at": 1}\nnot json\n{"at": NaN, "model": "x", "size": 1, "seconds": 1, "sources": {}}\n[]\n')
    history.add([good])
    assert history.read() == (good, good)


def test_resolvers_are_remembered(folder: Path) -> None:
    assert read_standings(folder) == {}
    one, six = NameServer("1.1.1.1", 5353), NameServer("2606:4700::1111")
    learned = {one: Standing(0.1, 0.0, 5.0), six: Standing(None, 2.0, 6.0)}
    keep_standings(folder, learned)
    keep_standings(folder, {one: Standing(0.9, 0.0, 4.0)})  # older: the newer stays
    assert read_standings(folder) == learned
    (folder / "resolvers.json").write_text('{"version": 1, "resolvers": {"1.1.1.1": {}}}')
    assert read_standings(folder) == {}


def test_rates_of_a_source_are_those_of_the_pulls_it_gave_to() -> None:
    past = (
        Past(1.0, "a/b@main", 100, 10.0, {"one": 60, "two": 40}),
        Past(2.0, "a/b@main", 100, 5.0, {"two": 100, "one": 0}),
        Past(3.0, "a/b@main", 100, 0.0, {"one": 100}),
    )
    assert rates_over_time(past) == {"one": (6.0,), "two": (4.0, 20.0)}
    assert (past[0].rate, past[2].rate, past[1].rate_of("one")) == (10.0, None, None)


def file_of(path: str, data: bytes, state: FileState, **sources: int) -> FileReport:
    return FileReport(plain.file_of(path, data), state, sources=sources)


def test_a_pull_leaves_what_it_fetched_and_each_blob_once() -> None:
    weights = b"w" * 100
    files = (
        file_of("a.safetensors", weights, FileState.FETCHED, one=60, two=40),
        file_of("same.safetensors", weights, FileState.FETCHED, one=60, two=40),
        file_of("here.safetensors", b"h", FileState.ALREADY),
    )
    (entry,) = entries_of(PullReport((model(files),)), 7.0)
    assert (entry.at, entry.model, dict(entry.sources)) == (7.0, "org/m@main", {"one": 60, "two": 40})


def test_a_pull_that_was_stopped_leaves_what_came_of_files_that_are_not_whole() -> None:
    files = (
        file_of("a.safetensors", b"a" * 100, FileState.FETCHED, one=40),  # the rest is from a run before
        file_of("b.safetensors", b"b" * 100, FileState.SKIPPED, one=30, two=10),
    )
    (entry,) = entries_of(PullReport((model(files),)), 7.0)
    assert (entry.came, entry.rate, dict(entry.sources)) == (80, 40.0, {"one": 70, "two": 10})
    only = (file_of("b.safetensors", b"b" * 100, FileState.LOST, one=30),)
    assert [one.came for one in entries_of(PullReport((model(only),)), 7.0)] == [30]


def test_a_pull_that_fetched_nothing_leaves_no_entry() -> None:
    assert entries_of(PullReport((model((file_of("a.bin", b"a", FileState.ALREADY),)),)), 7.0) == ()


def model(files: tuple[FileReport, ...]) -> ModelReport:
    return ModelReport("org/m@main", files=files, seconds=2.0)


def test_what_an_earlier_run_had_fetched_is_not_in_the_rate() -> None:
    past = Past(1.0, "a/b@main", 100, 10.0, {"one": 60})
    assert (past.came, past.rate) == (60, 6.0)
