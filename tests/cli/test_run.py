"""The one end of all commands."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.cli import terminal
from orchestrator.cli.run import Run, finish, watcher_of
from orchestrator.documents import Outcome
from orchestrator.errors import NotAllowedError, NotFoundError
from orchestrator.events import Notice, Queued
from orchestrator.settings import load
from orchestrator.settings.table import Caution

SLOW, LATE = Notice("slow", "near is slow"), Notice("late", "far is late")
GONE = NotFoundError("it is gone", hint="look elsewhere")


@dataclass(frozen=True, slots=True)
class Report:
    name: str


def show(report: Report) -> None:
    terminal.result(f"shown: {report.name}")


def test_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(as_json=False)
    run.emit(SLOW, Queued(1, 1), SLOW)
    assert finish(run, "verify", Report("x"), show, Outcome.of((GONE,), 1)) == 66
    out, err = capsys.readouterr()
    assert out == "shown: x\n"
    more = "more: glm-aria explain not-found"
    assert err.splitlines() == ["warning: near is slow", "error: it is gone", "hint: look elsewhere", more]


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(as_json=True)
    run.emit(SLOW)
    assert finish(run, "verify", Report("x"), show) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["command"], made["status"], made["data"]) == ("verify", "success", {"name": "x"})
    assert [warning["code"] for warning in made["warnings"]] == ["slow"]
    assert made["errors"] == []


@pytest.mark.parametrize("mode", ["lines", "json"])
def test_a_warning_that_was_shown_is_not_told_again(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(False, watcher_of(mode))
    run.emit(SLOW)
    finish(run, "verify", Report("x"), show)
    assert capsys.readouterr().err.count("near is slow") == 1


def test_warnings_count_with_strict() -> None:
    run = Run(False)
    assert run.outcome(strict=True).exit_code == 0
    run.emit(SLOW)
    assert run.outcome().exit_code == 0
    assert run.outcome(strict=True).exit_code == 100


def test_why_a_token_was_not_sent() -> None:
    denied = NotAllowedError("gated", hint="log in")
    Run(False, token_withheld="the token goes to the hub only").outcome((denied,), 1)
    assert denied.hint == "the token goes to the hub only"


def test_only_the_newest_are_kept() -> None:
    run = Run(False, watcher_of("lines"))
    run.emit(SLOW, LATE)
    run.forget(1)
    assert list(run.notices) == [LATE]
    assert run.watcher.shown == {LATE}


def test_what_the_settings_warn_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(
        load({}, environ={}, folder=tmp_path, personal=tmp_path / "none.toml"),
        warnings=(Caution("slow", "near is slow"),),
    )
    run = Run.warned(settings, as_json=False)
    assert finish(run, "mirrors ls", Report("x"), show) == 0
    assert "near is slow" in capsys.readouterr().err


def test_modes_make_their_watchers() -> None:
    made = {mode: type(watcher_of(mode)).__name__ for mode in ("bar", "lines", "json", "none")}
    assert made == {"bar": "Bar", "lines": "Lines", "json": "JsonLines", "none": "Watcher"}
