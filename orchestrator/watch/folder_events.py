"""Events of the file system in folders (watchdog): they only say that it is worth a look."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver


class FolderEvents:
    """Sets `told` at each event in the folders that are observed."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self._observer: BaseObserver | None = None

    def observe(self, folders: Iterable[Path], *, recursive: bool = False) -> None:
        """Observe these from now on, and no others."""
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer

        self.stop()
        told = self.told

        class Teller(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                # Reading a file is an event, too: ours would follow each other for ever.
                if event.event_type not in ("opened", "closed_no_write"):
                    told.set()

        observer = Observer()
        try:
            for folder in folders:
                # A folder that is not there, or a limit of the kernel: who looks without an event sees it, too.
                with contextlib.suppress(OSError):
                    observer.schedule(Teller(), str(folder), recursive=recursive)
            observer.start()
        except (OSError, RuntimeError):
            return
        self._observer = observer

    def stop(self) -> None:
        """Observe nothing more."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(5)
            self._observer = None
