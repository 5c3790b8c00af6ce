"""A map in the state folder that may grow large: a JSON document, and a log of what changed since it was written.

To write all of it for each change costs more the larger it is. So a change of a large one is appended to its log,
which is taken into the document once it is as large: each entry is written two or three times, whatever the number.

The document is as `state_file` has it, and all that other versions of this program know. The log, `<name>.log`, has an
array a line: first the identity of the document that it goes on from, then `[key, value]`, or `[key, null]` for one
that was dropped. Where somebody else replaced the document, or a line cannot be read, the rest of the log counts as
absent. As with any document of the state folder, what is lost costs time.
"""

# Looked at for each file of thousands: strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH116
from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from orchestrator.disk.state_file import UNREADABLE, append_state, read_state, write_state
from orchestrator.system.small_files import RECORD_BYTES, open_regular, read_stream

V = TypeVar("V")
_Identity = tuple[int, int, int]
_SMALL = 64 << 10
"""Bytes of a document that is as fast written as a log is appended to."""


class GrowingState(Generic[V]):
    """The map under `section` of the document `path`. `parse` makes a value of its JSON, or raises any of UNREADABLE.

    Reads are kept in memory, and go on from there when somebody else wrote. Threads may share it.
    """

    def __init__(self, path: Path, stage: Path, section: str, parse: Callable[[Any], V]) -> None:
        self._path = path
        self._log = path.with_suffix(".log")
        self._stage = stage
        self._section = section
        self._parse = parse
        self._guard = threading.Lock()
        self._entries: dict[str, V] = {}
        self._document: _Identity | None = None
        self._seen: _Identity | None = None
        self._position = 0

    def read(self) -> Mapping[str, V]:
        """The map as it is now; it changes when it is read or changed again. Empty for a bad document, never raises."""
        with self._guard:
            return self._read()

    def change(self, changes: Mapping[str, V | None]) -> None:
        """Set these entries, and drop those of None. To be called by who holds the lock on it. Raises OSError."""
        with self._guard:
            entries = self._read()
            fresh = {key: value for key, value in changes.items() if entries.get(key) != value}
            if fresh and self._takes_log():
                self._append(fresh)
            elif fresh:
                self._write(fresh)

    def settle(self) -> None:
        """Take the log into the document, for other versions. To be called by who holds the lock. Raises OSError."""
        with self._guard:
            if self._read() and self._position:
                self._write({})

    def remove(self) -> None:
        """Remove all of it. Raises OSError."""
        self._log.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, V]:
        document, log = _identity(self._path), _identity(self._log)
        if document != self._document or (self._seen and (log is None or log[2] != self._seen[2])):
            self._entries = read_state(self._path, self._parsed) or {}
            self._document, self._seen, self._position = document, None, 0
        if log != self._seen and document is not None:
            self._follow()
            self._seen = log
        return self._entries

    def _parsed(self, data: dict[str, Any]) -> dict[str, V]:
        # Consumed, so that a large map is not in memory twice.
        raw, entries = data[self._section], {}
        while raw:
            key, value = raw.popitem()
            entries[key] = self._parse(value)
        return entries

    def _follow(self) -> None:
        """Read what was appended to the log, up to the last whole line."""
        try:
            fd = open_regular(self._log)
            try:
                os.lseek(fd, self._position, os.SEEK_SET)
                data = read_stream(fd, RECORD_BYTES, self._log)
            finally:
                os.close(fd)
            for line in data.splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    return
                self._take(json.loads(line))
                self._position += len(line)
        except UNREADABLE:
            return

    def _take(self, entry: Any) -> None:
        if not self._position:
            if tuple(entry) != self._document:
                raise ValueError("of another document")
            return
        key, value = entry
        if not isinstance(key, str):
            raise TypeError(key)
        if value is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = self._parse(value)

    def _takes_log(self) -> bool:
        """True when the log is whole, and smaller than the document."""
        size = self._seen[0] if self._seen else 0
        return self._document is not None and self._position == size and max(size, _SMALL) < self._document[0]

    def _append(self, fresh: Mapping[str, V | None]) -> None:
        lines = [] if self._position else [json.dumps(self._document)]
        lines += [json.dumps(item, separators=(",", ":")) for item in fresh.items()]
        data = "".join(f"{line}\n" for line in lines).encode()
        append_state(self._log, data)
        self._position += len(data)
        self._seen = _identity(self._log)
        self._keep(fresh)

    def _write(self, fresh: Mapping[str, V | None]) -> None:
        self._keep(fresh)
        # Until the new document is known for what it is, what is in memory counts as nothing.
        self._document = None
        write_state(self._path, self._stage, {self._section: self._entries}, durable=False)
        self._log.unlink(missing_ok=True)
        self._document, self._seen, self._position = _identity(self._path), None, 0

    def _keep(self, fresh: Mapping[str, V | None]) -> None:
        for key, value in fresh.items():
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = value


def _identity(path: Path) -> _Identity | None:
    """Size in bytes, mtime in nanoseconds, inode."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
