"""Watchers of a run: none, plain lines, JSON lines or a bar. All subscribe to `orchestrator.events`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from orchestrator.cli.views.transfer_state import Snapshot, Tally
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.core.text import counted, printable, redacted
from orchestrator.events import (
    Event,
    Evicted,
    FileProgress,
    FleetNews,
    Foreseen,
    ModelPhase,
    Notice,
    PeersKnown,
    Phase,
    Queued,
    Staying,
)

LINE_SECONDS = 5.0


def choose(wanted: str, *, as_json: bool, quiet: bool, terminal_like: bool | None = None) -> str:
    """The mode for `--progress`: `auto` becomes a bar on a terminal, else lines; with `--json` never a bar."""
    is_terminal = _is_terminal() if terminal_like is None else terminal_like
    if wanted == "auto":
        return "none" if quiet else "bar" if is_terminal and not as_json else "lines"
    if wanted == "bar" and (as_json or not is_terminal):
        return "lines"
    return wanted


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class Watcher:
    """Sees all events, from any thread, and shows nothing. A context manager: leaving it ends the display.

    `shown` are the notices that the user has seen already.
    """

    def __init__(self) -> None:
        self.shown: set[Notice] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._end()

    def emit(self, event: Event) -> None:
        """Take an event. Never raises because of the display."""
        with self._lock:
            self._take(event)

    def say(self, line: str) -> None:
        """Show a line that stays, for people. Never raises because of the display."""
        with self._lock:
            self._say(printable(line))

    def _take(self, event: Event) -> None:
        """Show the event. Called by one thread at a time."""

    def _say(self, line: str) -> None:
        """Show the line. Called by one thread at a time."""

    def _end(self) -> None:
        """End the display."""


class Lines(Watcher):
    """A plain line at each phase of a model, for each file that another run fetches, and every few seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, stream: TextIO | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._stream = stream
        self._tally = Tally(clock)
        self._last = clock()

    def _take(self, event: Event) -> None:
        self._tally.take(event)
        if isinstance(event, Notice):
            if event not in self.shown:
                self.shown.add(event)
                self._write(f"warning: {redacted(event.message)}")
        elif isinstance(event, PeersKnown | Staying | FleetNews):
            self._write(of_peers(event))
            if is_rest(event):
                self._tally = Tally(self._clock)
        elif isinstance(event, ModelPhase):
            self._write(f"{printable(event.model)}: {event.phase}")
        elif isinstance(event, Evicted):
            self._write(f"{printable(event.model)}: evicted, {format_size(event.size)} freed")
        elif isinstance(event, Foreseen):
            self._write(f"{printable(event.model) or 'foresight'}: {event.deed}: {redacted(event.why)}")
        elif isinstance(event, Queued) and event.files:
            self._write(f"to {event.to}: {format_size(event.bytes_total)} in {event.files} file(s)")
        elif isinstance(event, FileProgress) and event.phase is Phase.WAITING:
            self._write(f"{printable(event.name)}: waits for another run, which fetches it")
        elif isinstance(event, FileProgress) and self._clock() - self._last >= LINE_SECONDS:
            self._last = self._clock()
            now = self._tally.snapshot()
            who = printable(by_source(now))
            self._write(summary(now) + (f"  [{who}]" if who else ""))

    def _say(self, line: str) -> None:
        self._write(line)

    def _write(self, line: str) -> None:
        _write(self._stream, line)


class GuestLines(Lines):
    """Lines in between those of another program, which has the terminal: each says whose it is, and one at the end what
    was fetched. Bars that the other is drawing are taken off their rows; it draws them again below."""

    def _write(self, line: str) -> None:
        clear = "\r\x1b[J" if (self._stream or sys.stderr).isatty() else ""
        super()._write(f"{clear}glm-aria: {line}")

    def _end(self) -> None:
        now = self._tally.snapshot()
        if now.files:
            self._write(f"{now.files_done} of {now.files} file(s) fetched, {format_size(now.done)}")


class JsonLines(Watcher):
    """One JSON object a line, on stderr."""

    def __init__(self, *, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream

    def _take(self, event: Event) -> None:
        if isinstance(event, Notice):
            if event in self.shown:
                return
            self.shown.add(event)
        from orchestrator.cli.views.json_lines import line_of
        from orchestrator.documents import encode

        _write(self._stream, encode(line_of(event)))


def summary(now: Snapshot) -> str:
    """The transfer in one line: `34%  6.8 GB of 20.1 GB  112 MB/s  2 min 05 s left  (3 of 12 files)`."""
    parts = [f"{now.percent:3.0f}%", f"{format_size(now.done)} of {format_size(now.total)}"]
    parts += [format_speed(now.speed)] if now.speed else []
    parts += [f"{format_duration(now.seconds_left)} left"] if now.seconds_left is not None else []
    return "  ".join((*parts, f"({now.files_done} of {now.files} files)"))


def by_source(now: Snapshot) -> str:
    """Rates by source, if more than one sends: `huggingface.co 3.1 MB/s, hf-mirror 20.2 MB/s`; else nothing."""
    sending = [(name, speed) for name, speed, _ in now.sources if speed >= 1]
    return ", ".join(f"{name} {format_speed(speed)}" for name, speed in sending) if len(sending) > 1 else ""


def is_rest(event: PeersKnown | Staying | FleetNews) -> bool:
    """True if what was shown of a transfer is over."""
    return isinstance(event, Staying) or (isinstance(event, FleetNews) and event.is_idle)


def of_peers(event: PeersKnown | Staying | FleetNews) -> str:
    """The line for an event of a fleet."""
    if isinstance(event, FleetNews):
        return redacted(event.message)
    names = printable(", ".join(event.nodes))
    count = counted(len(event.nodes), "machine")
    if isinstance(event, PeersKnown):
        gone = printable(", ".join(event.left))
        parts = [f"{gone} {'has' if len(event.left) == 1 else 'have'} left"] if gone else []
        parts += [f"shared with {count}: {names}"] if names else []
        return "; ".join(parts) or f"other machines reach this one at {event.address}"
    most = format_duration(event.seconds)
    need = "needs" if len(event.nodes) == 1 else "need"
    return f"done; stays for {count} that {need} what only this one has ({names}), at most {most}; Ctrl-C ends it"


def _write(stream: TextIO | None, line: str) -> None:
    # Looked up at each call, since a capture of stderr replaces it. A closed stderr must not stop a download.
    try:
        print(line, file=stream or sys.stderr, flush=True)
    except (OSError, ValueError):
        return
