"""The log of demand on the disk: private, bounded, and readable whatever it holds."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchestrator.predict import log as log_module
from orchestrator.predict.demand import Demand
from orchestrator.predict.log import DemandLog
from orchestrator.predict.trace import line_of, read_lines


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


def test_who_reads_again_sees_what_others_added_cut_and_replaced(folder: Path) -> None:
    line = len(line_of(demand(1000)))
    log, other = DemandLog(folder), DemandLog(folder, most=10 * line, slack=5 * line)
    for at in range(1000, 1040):  # is cut twice
        other.add([demand(at)])
        assert log.read() == DemandLog(folder).read()
        assert log.read()[-1] == demand(at)
    log.path.write_text("".join(map(line_of, map(demand, range(2000, 2040)))))
    assert log.read()[0] == demand(2000)
    log.path.unlink()
    assert log.read() == ()
    other.add([demand(3000)])
    assert log.read() == (demand(3000),)


def test_what_was_read_is_not_parsed_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = DemandLog(folder)
    log.add([demand(at) for at in range(1000, 1100)])
    assert len(log.read()) == 100
    parsed: list[bytes] = []
    monkeypatch.setattr(log_module, "read_lines", lambda data: parsed.append(data) or read_lines(data))
    log.add([demand(2000)])
    assert log.read()[-1] == demand(2000)
    assert b"".join(parsed).count(b"org/m@main") == 1


def test_a_line_that_is_being_written_is_read_when_it_is_whole(folder: Path) -> None:
    log = DemandLog(folder)
    log.add([demand(1)])
    whole = line_of(demand(2))
    for part in (whole[:20], whole[20:]):
        assert log.read() == (demand(1),)
        with log.path.open("a") as file:
            file.write(part)
    assert log.read() == (demand(1), demand(2))


def test_broken_lines_are_passed_over(folder: Path) -> None:
    log = DemandLog(folder)
    log.add([demand(1)])
    with log.path.open("a") as file:
        file.write('{"at": 1}\nnot json\n[]\n')
    log.add([demand(2)])
    assert log.read() == (demand(1), demand(2))
