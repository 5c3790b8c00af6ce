"""Files that somebody edits: tells when what they hold may have changed, and has settled.

Events of the file system (watchdog) only say that it is worth a look, since editors save by renaming, a Kubernetes
volume swaps a link two folders up, and a file may vanish and come back. What counts is how the files look: device,
inode, size and time. On network file systems, where other hosts' writes cause no events, they are looked at now and
then anyway.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.disk.file_stat import Identity

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

SETTLED = 0.5
"""Seconds without a change after which a file counts as written."""
LOOK = 2.0
"""Seconds between two looks without an event."""

_Look = tuple[Identity | None, ...]


class Follower:
    """Follows a set of files. A context manager; `changed` is called by one thread."""

    def __init__(self) -> None:
        self._files: tuple[Path, ...] = ()
        self._folders: set[Path] = set()
        self._observer: BaseObserver | None = None
        self._seen: _Look = ()
        self._moving: _Look | None = None
        self._since = 0.0
        self._looked = 0.0
        self._event = threading.Event()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def look(self, files: Iterable[Path]) -> _Look:
        """The present stat of these files; take it before they are read, and give it to `follow` afterwards."""
        return tuple(Identity.at(file) for file in files)

    def follow(self, files: Iterable[Path], seen: _Look | None = None) -> None:
        """Follow these files from now on; `seen` is how they looked when they were read."""
        self._files = tuple(files)
        self._seen = self.look(self._files) if seen is None or len(seen) != len(self._files) else seen
        self._moving = None
        folders = {path.absolute().parent for path in self._files}
        folders |= {Path(os.path.realpath(path)).parent for path in self._files}
        if folders != self._folders:
            self._folders = folders
            self._observe()

    def changed(self) -> bool:
        """True once for each change, when it has settled. Never blocks."""
        now = time.monotonic()
        if self._moving is None and not self._event.is_set() and now - self._looked < LOOK:
            return False
        self._event.clear()
        self._looked = now
        look = self.look(self._files)
        if look == self._seen:
            self._moving = None
            return False
        if look != self._moving:
            self._moving, self._since = look, now
            return False
        if now - self._since < SETTLED:
            return False
        self._seen, self._moving = look, None
        return True

    def _observe(self) -> None:
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer

        self._stop()
        told = self._event

        class Teller(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                # Reading a file is an event, too: ours would follow each other for ever.
                if event.event_type not in ("opened", "closed_no_write"):
                    told.set()

        observer = Observer()
        try:
            for folder in self._folders:
                # A folder that is not there, or a limit of the kernel: the looks without an event remain.
                with contextlib.suppress(OSError):
                    observer.schedule(Teller(), str(folder), recursive=False)
            observer.start()
        except (OSError, RuntimeError):
            return
        self._observer = observer

    def _stop(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(5)
            self._observer = None
