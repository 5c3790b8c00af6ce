"""A folder that somebody works in: tells when it was saved and has been quiet since.

Events of the file system (watchdog) only say that it is worth a look, as for lists that are followed: what counts is
how the files look. Where there are no events, as for writes of others on a network file system, it is looked at now and
then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import GlmAriaError
from orchestrator.publishing.folder import LocalFile, ModelFolder
from orchestrator.system.signals import Stop
from orchestrator.watch.folder_events import FolderEvents

QUIET = 0.3
"""Seconds without a change after which a folder counts as saved."""
LOOK = 2.0
"""Seconds between two looks without an event."""
_STEP = 0.05

Look = tuple[LocalFile, ...]


class Saves:
    """The saves of a folder, whose files `read` lists. A context manager."""

    def __init__(self, folder: Path, read: Callable[[], ModelFolder]) -> None:
        self._folder = folder
        self._read = read
        self._events = FolderEvents()

    def __enter__(self) -> Saves:
        self._events.observe([self._folder], recursive=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._events.stop()

    def look(self) -> Look:
        """The files as they are; none while the folder cannot be pushed."""
        try:
            return self._read().files
        except GlmAriaError:
            return ()

    def wait(self, known: Look, stop: Stop, seconds: float) -> Look:
        """Wait until the folder is another than `known` and quiet, or the time is over; how it is then."""
        until = time.monotonic() + seconds
        moving = known
        while not stop.is_set():
            self._events.told.clear()
            look = self.look()
            if look == known and time.monotonic() >= until:
                break
            if look in (known, ()):
                moving = known
                self._rest(stop, min(LOOK, max(0.0, until - time.monotonic())))
            elif look != moving:
                moving = look
                stop.wait(QUIET)
            else:
                return look
        return known

    def _rest(self, stop: Stop, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._events.told.is_set() and time.monotonic() < until and not stop.wait(_STEP):
            pass
