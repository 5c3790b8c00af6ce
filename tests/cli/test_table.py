"""The one printer of tables."""

from __future__ import annotations

import sys

import pytest

from orchestrator.cli.views.table import ago, latency, milliseconds, share, show, yes_or_no


def test_columns_are_as_wide_as_they_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    show(("NAME", "SIZE", ""), [("a", "1 GB", "pinned"), ("longer", "-", "")], ["a note"], indent="  ")
    assert capsys.readouterr().out.splitlines() == [
        "  NAME    SIZE",
        "  a       1 GB  pinned",
        "  longer  -",
        "a note",
    ]


def test_cells_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    show(("name",), [("\x1b[31mred",)], ["see https://me:pw@site"])
    assert capsys.readouterr().out.splitlines() == ["name", "\\x1b[31mred", "see https://***@site"]


def test_a_terminal_gets_a_table_of_rich(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    show(("source", "seen"), [("[red]near[/red]", "never")], whole="source")
    out = capsys.readouterr().out
    assert "[red]near[/red]" in out
    assert "─" in out


def test_cells() -> None:
    assert [milliseconds(None), milliseconds(0.0304)] == ["-", "30 ms"]
    assert latency(0.2, 0.15) == "200 ±150 ms"
    assert [share(None), share(0.25)] == ["-", "25%"]
    assert [yes_or_no(None), yes_or_no(True), yes_or_no(False)] == ["-", "yes", "no"]
    assert [ago(None, 10.0), ago(4.0, 10.0)] == ["-", "6.0 s ago"]
