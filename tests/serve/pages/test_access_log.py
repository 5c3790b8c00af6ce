"""The access log: a line for each request, in the file that has its name now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import CannotCreateError
from orchestrator.serve.http.exchange import Exchange, Presence
from orchestrator.serve.pages import access_log
from orchestrator.serve.pages.access_log import AccessLog, line_of
from tests.plain import Heard


def exchange(**given: Any) -> Exchange:
    known: dict[str, Any] = {"client": "10.0.0.5", "method": "GET", "path": b"/org/m", "face": "hub", "began": 100.0}
    return Exchange(**known | {"status": 200, "ended": 100.5} | given)


def lines(path: Path) -> list[Any]:
    return [json.loads(line)["path"] for line in path.read_text().splitlines()]


def test_a_line_says_who_got_what_and_how_soon() -> None:
    one = exchange(caller="ci", sent=7, found=Presence.HIT, first_byte=100.25, is_whole=True)
    assert json.loads(line_of(one, 1.5)) == {
        "time": "1970-01-01T00:00:01.500+00:00",
        "client": "10.0.0.5",
        "caller": "ci",
        "face": "hub",
        "method": "GET",
        "path": "/org/m",
        "status": 200,
        "bytes": 7,
        "seconds": 0.5,
        "first_byte": 0.25,
        "found": "hit",
        "whole": True,
    }


def test_a_line_is_one_line_and_has_no_token() -> None:
    line = line_of(exchange(path=b"/a\n\x1b[2J\xff/hf_abcdefghijklmnop"), 1.0)
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line
    assert json.loads(line)["path"] == "/a\\n\\x1b[2J\\xff/hf_***"


def test_a_file_is_continued_and_begun_anew_when_it_was_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "_LOOK_SECONDS", 0.0)
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    for name in (b"/1", b"/2"):
        with AccessLog(path, Heard()) as log:
            log.ended(exchange(path=name))
    assert path.stat().st_mode & 0o777 == 0o600
    with AccessLog(path, Heard()) as log:
        path.rename(old)
        log.ended(exchange(path=b"/3"))
        path.unlink()
        log.ended(exchange(path=b"/4"))
    assert (lines(old), lines(path)) == (["/1", "/2"], ["/4"])


def test_a_log_that_cannot_be_written_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "_LOOK_SECONDS", 0.0)
    folder, heard = tmp_path / "logs", Heard()
    folder.mkdir()
    with AccessLog(folder / "access.log", heard) as log:
        folder.rename(tmp_path / "away")
        log.ended(exchange())
        log.ended(exchange())
        (tmp_path / "away").rename(folder)
        log.ended(exchange(path=b"/again"))
    assert heard.codes == ["access-log"]
    assert lines(folder / "access.log") == ["/again"]


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(CannotCreateError):
        AccessLog(tmp_path, Heard())
