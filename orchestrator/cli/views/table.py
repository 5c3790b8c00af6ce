"""Tables: columns as wide as they must be, for people and for awk alike; drawn by rich on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from orchestrator.cli import terminal
from orchestrator.core.sizes import format_duration
from orchestrator.core.text import printable, redacted

NOTHING = "-"

Cells = Sequence[str]


def show(head: Cells, rows: Sequence[Cells], notes: Sequence[str] = (), *, indent: str = "", whole: str = "") -> None:
    """Print a table, then sentences below it, to stdout. The column `whole` is never folded on a terminal."""
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    if sys.stdout.isatty():
        _show_rich(cells, whole)
    else:
        widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
        for row in cells:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            terminal.result(f"{indent}{line}".rstrip())
    for note in notes:
        terminal.result(redacted(note))


def _show_rich(cells: Sequence[Cells], whole: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in cells[0]:
        table.add_column(column, no_wrap=column == whole, overflow="fold")
    for row in cells[1:]:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def milliseconds(seconds: float | None, more: str = "") -> str:
    """A time for a cell."""
    return NOTHING if seconds is None else f"{1000 * seconds:.0f}{more} ms"


def latency(seconds: float | None, jitter: float | None) -> str:
    """A latency, and by how much it varies."""
    return milliseconds(seconds, f" ±{1000 * jitter:.0f}" if jitter is not None else "")


def share(value: float | None) -> str:
    """A share of 0 to 1, in percent."""
    return NOTHING if value is None else f"{value:.0%}"


def yes_or_no(value: bool | None) -> str:
    """A fact that may be unknown."""
    return {None: NOTHING, True: "yes", False: "no"}[value]


def ago(then: float | None, now: float) -> str:
    """The time since then, in the largest unit alone."""
    return f"{' '.join(format_duration(max(0.0, now - then)).split()[:2])} ago" if then else NOTHING


def http_versions(names: Sequence[str]) -> str:
    """Versions of HTTP without their common beginning."""
    return " ".join(version.removeprefix("http/") for version in names) or NOTHING
