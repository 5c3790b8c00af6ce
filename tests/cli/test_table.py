"""The one printer of tables."""

from __future__ import annotations

import sys

import pytest
from rich.cells import cell_len

from orchestrator.cli.views.table import ago, latency, milliseconds, share, shared_out, show, yes_or_no


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


@pytest.mark.parametrize(("width", "is_drawn"), [(80, True), (58, True), (40, False), (1, False)])
def test_no_column_of_a_narrow_terminal_is_lost(
    width: int, is_drawn: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    name = "org/a-name-of-a-model:Q4_K_M"
    show(("name", "size", "error"), [(name, "13.6 MB", "no such name, 模型 and so on")], whole="name")
    out = capsys.readouterr().out
    assert ("─" in out) is is_drawn
    assert name in out
    assert "13.6 MB" in out
    assert "".join(out.split()).count("nosuch") == 1
    if is_drawn:
        assert max(map(cell_len, out.splitlines()[2:])) <= width


def test_room_for_columns_is_shared_out() -> None:
    assert shared_out(100, [10, 20, 30], [10, 8, 8]) == [10, 20, 30]
    assert shared_out(40, [10, 20, 30], [10, 8, 8]) == [10, 15, 15]
    assert shared_out(40, [10, 9, 30], [10, 8, 8]) == [10, 9, 21]
    assert shared_out(25, [10, 9, 30], [10, 8, 8]) is None


def test_cells() -> None:
    assert [milliseconds(None), milliseconds(0.0304)] == ["-", "30 ms"]
    assert latency(0.2, 0.15) == "200 ±150 ms"
    assert [share(None), share(0.25)] == ["-", "25%"]
    assert [yes_or_no(None), yes_or_no(True), yes_or_no(False)] == ["-", "yes", "no"]
    assert [ago(None, 10.0), ago(4.0, 10.0)] == ["-", "6.0 s ago"]
