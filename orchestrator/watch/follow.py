"""Files that somebody edits: tells when what they hold may have changed, and has settled.

Events of the file system (watchdog) only say that it is worth a look, since editors save by renaming, a Kubernetes
volume swaps a link two folders up, and a file may vanish and come back. What counts is how the files look: device,
inode, size and time. On network file systems, where other hosts' writes cause no events, they are looked at now and
then anyway.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from orchestrator.disk.file_stat import Identity
from orchestrator.watch.folder_events import FolderEvents

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
        self._seen: _Look = ()
        self._moving: _Look | None = None
        self._since = 0.0
        self._looked = 0.0
        self._events = FolderEvents()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self._events.stop()

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
            self._events.observe(folders)

    def changed(self) -> bool:
        """True once for each change, when it has settled. Never blocks."""
        now = time.monotonic()
        if self._moving is None and not self._events.told.is_set() and now - self._looked < LOOK:
            return False
        self._events.told.clear()
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
