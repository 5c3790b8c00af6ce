"""The history of pulls on the disk: private, capped, and readable whatever it holds."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchestrator.core.resolvers import NameServer, Standing
from orchestrator.doctor.history import Past
from orchestrator.doctor.history_file import MOST, History
from orchestrator.net.resolver_health import keep_standings, read_standings


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
