"""The log of demand on the disk: private, bounded, and readable whatever it holds."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchestrator.predict.demand import Demand
from orchestrator.predict.log import DemandLog
from orchestrator.predict.trace import line_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stage").mkdir()
    return tmp_path


def demand(at: int) -> Demand:
    return Demand(float(at), "org/m@main", 10, 0, 0.5, {})


def test_the_newest_are_kept(folder: Path) -> None:
    line = len(line_of(demand(1000)))
    log = DemandLog(folder, most=100 * line, slack=20 * line)
    assert log.read() == ()
    wanted = [demand(at) for at in range(1000, 1200)]
    for at in range(0, 200, 10):
        log.add(wanted[at : at + 10])
        assert log.path.stat().st_size <= 120 * line
    found = log.read()
    assert 99 <= len(found) <= 120
    assert found == tuple(wanted[-len(found) :])
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_broken_lines_are_passed_over(folder: Path) -> None:
    log = DemandLog(folder)
    log.add([demand(1)])
    with log.path.open("a") as file:
        file.write('{"at": 1}\nnot json\n[]\n')
    log.add([demand(2)])
    assert log.read() == (demand(1), demand(2))
