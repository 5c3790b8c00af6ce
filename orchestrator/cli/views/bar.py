"""Progress on a terminal: a total bar and a row for each active file, drawn by rich.

rich is imported with the first byte to fetch. A run that finds all in place shows no more than a line that goes away.

Locks, in the order in which they are taken: the watcher's, rich's own, `_sums`. The drawing thread holds rich's when it
asks for the picture, so `_sums` is never held while rich is called.
"""

from __future__ import annotations

import shutil
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.cli import terminal
from orchestrator.cli.views.progress import Watcher, by_source, is_rest, of_peers, summary
from orchestrator.cli.views.transfer_state import MOVING, Snapshot, Tally
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.core.text import printable, redacted
from orchestrator.events import Event, FileProgress, FleetNews, ModelPhase, Notice, PeersKnown, Phase, Queued, Staying

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

DRAWN_PER_SECOND = 5.0
MOST_ROWS = 12
_CLEAR_LINE = "\r\x1b[K"


class Bar(Watcher):
    """The bar. Everything that it draws is gone when it ends; warnings are printed above it and stay."""

    def __init__(self) -> None:
        super().__init__()
        self._sums = threading.Lock()
        self._tally = Tally()
        self._live: Live | None = None
        self._has_status = False
        self._open: set[str] = set()

    def _take(self, event: Event) -> None:
        with self._sums:
            self._tally.take(event)
        # A terminal that went away (EIO) is no reason to stop a download.
        with suppress(OSError, ValueError):
            if isinstance(event, Notice):
                self._warn(event)
            elif isinstance(event, PeersKnown | Staying | FleetNews):
                if is_rest(event):
                    self._rest()
                self._say(of_peers(event))
            elif isinstance(event, ModelPhase):
                self._model(event)
            elif self._live is not None:
                return
            elif isinstance(event, FileProgress) or (isinstance(event, Queued) and event.files):
                self._start()

    def _end(self) -> None:
        with suppress(OSError, ValueError):
            self._rest()
            self._clear_status()

    def _rest(self) -> None:
        """Take the bar away, until something is fetched again."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        with self._sums:
            self._tally = Tally()

    def _start(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._clear_status()
        self._live = Live(
            console=Console(file=sys.stderr, highlight=False, markup=False, emoji=False),
            get_renderable=self._picture,
            refresh_per_second=DRAWN_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _picture(self) -> Table:
        with self._sums:
            now = self._tally.snapshot()
        size = self._live.console.size if self._live else shutil.get_terminal_size()
        columns, lines = tuple(size)
        return picture(now, columns, min(MOST_ROWS, max(0, lines - 4)))

    def _warn(self, notice: Notice) -> None:
        if notice in self.shown:
            return
        self.shown.add(notice)
        self._say(f"warning: {redacted(notice.message)}")

    def _say(self, line: str) -> None:
        with suppress(OSError, ValueError):
            if self._live is not None:
                self._live.console.print(line, soft_wrap=True)
            else:
                self._clear_status()
                terminal.say(line)

    def _model(self, event: ModelPhase) -> None:
        """Show what is done for a model while there is no bar; once none is open, a watch has nothing to show."""
        is_over = event.phase in (Phase.DONE, Phase.FAILED)
        (self._open.discard if is_over else self._open.add)(event.model)
        if is_over:
            self._clear_status()
        elif self._live is None:
            self._status(event)
        if not self._open:
            self._rest()

    def _status(self, event: ModelPhase) -> None:
        # One column less: a full line would wrap, and only its last row would be cleared.
        text = printable(f"{event.model}: {event.phase}")[: shutil.get_terminal_size().columns - 1]
        print(f"{_CLEAR_LINE}{text}", end="", file=sys.stderr, flush=True)
        self._has_status = True

    def _clear_status(self) -> None:
        if self._has_status:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)
            self._has_status = False


def picture(now: Snapshot, columns: int, rows: int) -> Table:
    """One frame, at most `rows` files and three lines more high. Files that do not fit are summed up in one row."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    frame = Table.grid(expand=True)
    frame.add_column(no_wrap=True, overflow="ellipsis")
    frame.add_row(Text(summary(now), style="bold"))
    frame.add_row(ProgressBar(total=max(now.total, 1), completed=now.done))
    if who := by_source(now):
        frame.add_row(Text(printable(who), style="dim"))
    shown = now.active if len(now.active) <= rows else now.active[: max(0, rows - 1)]
    width = max(8, columns - 44)
    for item in shown:
        frame.add_row(Text(_row(item, width)))
    if (rest := now.active[len(shown) :]) and rows:
        frame.add_row(Text(_rest(rest), style="dim"))
    return frame


def _row(item: FileProgress, width: int) -> str:
    name = printable(item.name)
    # The end of a path tells more than its beginning.
    name = name if len(name) <= width else f"…{name[1 - width :]}"
    percent = 100 * item.done // item.total if item.total else 100
    if item.phase in MOVING:
        left = (item.total - item.done) / item.speed if item.speed else None
        state = f"{format_speed(item.speed):>10}  {format_duration(left) if left is not None else '':<12}"
    else:
        state = "waits for another run" if item.phase is Phase.WAITING else item.phase.value
    return f"{name:<{width}}  {percent:>3}% of {format_size(item.total):>8}  {state}"


def _rest(items: tuple[FileProgress, ...]) -> str:
    done, total = sum(item.done for item in items), sum(item.total for item in items)
    speed = sum(item.speed for item in items if item.phase in MOVING)
    return f"… and {len(items)} more: {format_size(done)} of {format_size(total)}  {format_speed(speed)}"
