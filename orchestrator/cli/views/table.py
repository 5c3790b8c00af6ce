"""Tables: columns as wide as they must be, for people and for awk alike; drawn by rich on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from orchestrator.cli import terminal
from orchestrator.core.sizes import format_duration
from orchestrator.core.text import printable, redacted

NOTHING = "-"
_LEAST = 8
"""A column is folded to so many places, or to its head where that is longer."""
_BARS = "▁▂▃▄▅▆▇█"
_BETWEEN = 2
"""Places between two columns, and at the end of a line."""

Cells = Sequence[str]


def show(head: Cells, rows: Sequence[Cells], notes: Sequence[str] = (), *, indent: str = "", whole: str = "") -> None:
    """Print a table, then sentences below it, to stdout. The column `whole` is never folded on a terminal.

    Where that leaves the others too little, the terminal folds lines as they are.
    """
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    if not (sys.stdout.isatty() and _show_rich(cells, whole)):
        widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
        for row in cells:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            terminal.result(f"{indent}{line}".rstrip())
    for note in notes:
        terminal.result(redacted(note))


def _show_rich(cells: Sequence[Cells], whole: str) -> bool:
    """Draw the table; False where the terminal is too narrow for it."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    columns = list(zip(*cells, strict=True))
    full = [max(map(cell_len, column)) for column in columns]
    least = [
        width if column[0] == whole else min(width, max(_LEAST, cell_len(column[0])))
        for column, width in zip(columns, full, strict=True)
    ]
    widths = shared_out(console.width - _BETWEEN * len(full), full, least)
    if widths is None:
        return False
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column[0], width=width, overflow="fold")
    for row in cells[1:]:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    return True


def shared_out(room: int, full: Sequence[int], least: Sequence[int]) -> list[int] | None:
    """The widths of columns that need `full`, and can do with `least`; None where there is no room for that."""
    spare = room - sum(least)
    if spare < 0:
        return None
    widths = list(least)
    # Those that need little more get it; the rest is shared equally.
    order = sorted(range(len(full)), key=lambda at: full[at] - least[at])
    for number, at in enumerate(order):
        more = min(full[at] - least[at], spare // (len(order) - number))
        widths[at], spare = widths[at] + more, spare - more
    return widths


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


def spark(values: Sequence[float]) -> str:
    """A bar for each value, the largest full."""
    most = max(values, default=0.0) or 1.0
    return "".join(_BARS[min(len(_BARS) - 1, int(value / most * len(_BARS)))] for value in values)
