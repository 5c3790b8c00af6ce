"""The display of a run for a caller from Python: a bar, lines, a tqdm, events by a function of its own, or the log."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeAlias

from orchestrator.cli.views import progress as views
from orchestrator.cli.views.transfer_state import Tally
from orchestrator.core.text import redacted
from orchestrator.events import Emit, Event, FileProgress, Notice, Queued
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop

Progress: TypeAlias = bool | Callable[[Event], None] | None
"""True and None: a bar on a terminal, and in a notebook one of tqdm, or lines without it; elsewhere True writes lines.
False shows nothing. A function is called with each event of `orchestrator.events`, by one thread at a time."""

LOG = logging.getLogger("glm_aria")
_TICK_SECONDS = 0.1
_terminal = threading.Lock()
"""Who has it draws the one bar of this process: two would write over each other."""


@contextlib.contextmanager
def showing(progress: Progress, settings: Settings, stop: Stop, tqdm_class: Any = None) -> Iterator[Emit]:
    """The `Emit` of a run that is shown so. Warnings that no display has room for go to the log `glm_aria`.

    An exception of the caller's function ends the run in good order, and is raised here.
    """
    with contextlib.ExitStack() as held:
        watcher = _watcher(progress, tqdm_class, stop, held)
        with watcher:
            for code, message in settings.warnings:
                watcher.emit(Notice(code, message))
            yield watcher.emit
    if isinstance(watcher, Callback) and watcher.error is not None:
        raise watcher.error


def _watcher(progress: Progress, tqdm_class: Any, stop: Stop, held: contextlib.ExitStack) -> views.Watcher:
    if callable(progress):
        return Callback(progress, stop)
    is_off = progress is False or (progress is None and _is_switched_off())
    in_notebook = "ipykernel" in sys.modules
    if tqdm_class is None and not is_off and in_notebook:
        tqdm_class = _tqdm()
    if is_off or tqdm_class is not None:
        return Logged() if is_off else Ticks(tqdm_class)
    mode = views.choose("auto", as_json=False, quiet=False)
    if mode == "bar" and _terminal.acquire(blocking=False):
        held.callback(_terminal.release)
        from orchestrator.cli.views.bar import Bar

        return Bar()
    return views.Lines() if mode == "lines" and (progress or in_notebook) else Logged()


def _is_switched_off() -> bool:
    """As huggingface_hub's own bars are."""
    return os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "").upper() in ("1", "ON", "YES", "TRUE")


def _tqdm() -> Any:
    try:
        return import_module("tqdm.auto").tqdm
    except ImportError:
        return None


class Logged(views.Watcher):
    """Warnings go to the log; nothing else is told."""

    def _take(self, event: Event) -> None:
        if isinstance(event, Notice) and event not in self.shown:
            self.shown.add(event)
            LOG.warning("%s", redacted(event.message))


class Ticks(Logged):
    """A bar by a class like tqdm: one for all bytes of the run."""

    def __init__(self, tqdm_class: Any) -> None:
        super().__init__()
        self._make = tqdm_class
        self._bar: Any = None
        self._tally = Tally()
        self._told = 0.0

    def _take(self, event: Event) -> None:
        super()._take(event)
        self._tally.take(event)
        if isinstance(event, Queued) and event.files and self._bar is None:
            self._bar = self._make(total=event.bytes_total, desc="Downloading", unit="B", unit_scale=True)
        elif isinstance(event, FileProgress) and time.monotonic() - self._told >= _TICK_SECONDS:
            self._told = time.monotonic()
            self._tick()

    def _tick(self) -> None:
        if self._bar is not None:
            now = self._tally.snapshot()
            self._bar.total = now.total
            self._bar.update(now.done - self._bar.n)

    def _end(self) -> None:
        self._tick()
        if self._bar is not None:
            self._bar.close()


class Callback(views.Watcher):
    """A function of the caller's hears all events, until it raises."""

    def __init__(self, hear: Callable[[Event], None], stop: Stop) -> None:
        super().__init__()
        self._hear = hear
        self._stop = stop
        self.error: BaseException | None = None

    def _take(self, event: Event) -> None:
        if self.error is None:
            try:
                self._hear(event)
            except BaseException as error:  # noqa: BLE001 - the caller's own, raised where the run ends
                self.error = error
                self._stop.set()
