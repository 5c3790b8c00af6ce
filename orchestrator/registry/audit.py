"""The trail of a registry: who changed what, one JSON object a line, in a file that is only added to.

`registry/trail.jsonl` in the state folder (0600). Each event has a number, one more than the last, by which readers go
on. An event is on the disk before its change is answered.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from orchestrator.disk.access import OURS_ALONE
from orchestrator.disk.locks import state_lock
from orchestrator.errors import DiskIOError
from orchestrator.system.failures import on_disk

_KEPT = 5_000
"""Events that are kept in memory, for those who ask again and again for what is new."""
_TAIL = 64 << 10


class Deed(StrEnum):
    """Kinds of changes. SIGN: a signature was attached to a version. ADOPT: a tag was found that had been pushed past
    the facade, before or beside it. RESTORE: a tag was put back that somebody had moved past the facade."""

    PUBLISH = "publish"
    SIGN = "sign"
    MOVE = "move"
    REMOVE = "remove"
    ADOPT = "adopt"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class TrailEvent:
    """A change: `who` did what to a version or an alias (`name`) of a model, `at` unix seconds. The digests of before
    and after are empty where there was, or is, none; `version` is the one of the digest after, if it has one."""

    number: int
    at: float
    who: str
    deed: Deed
    model: str
    name: str
    before: str = ""
    after: str = ""
    version: str = ""


class Trail:
    """The trail of a state folder; threads and processes may share it."""

    def __init__(self, folder: Path, *, on_event: Callable[[TrailEvent], None] = lambda _: None) -> None:
        self._path = folder / "trail.jsonl"
        self._lock = folder / "trail.lock"
        self._on_event = on_event
        self._guard = threading.Lock()
        self._recent: deque[TrailEvent] = deque(maxlen=_KEPT)
        self._read_to = 0

    def add(self, event: TrailEvent) -> TrailEvent:
        """Add an event, and give it its number. Raises per `system.failures`, and DiskIOError for a damaged trail."""
        with on_disk("write", self._path), state_lock(self._lock):
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if not OURS_ALONE.holds(os.fstat(fd)):
                    raise DiskIOError(f"{self._path} is not added to: others own it, or may read or write it")
                last, torn = self._last(fd)
                event = replace(event, number=last + 1)
                # What a crash left of a line stays, and is passed over by readers.
                line = json.dumps(asdict(event), separators=(",", ":"), sort_keys=True)
                os.write(fd, b"\n" * torn + line.encode() + b"\n")
                os.fsync(fd)
            finally:
                os.close(fd)
        self._on_event(event)
        return event

    def after(self, number: int) -> Iterator[TrailEvent]:
        """The events behind that number, the oldest first. Raises per `system.failures`."""
        with self._guard:
            self._follow()
            recent = tuple(self._recent)
        if recent and number < recent[0].number - 1:
            return (event for event in self._all() if event.number > number)
        return (event for event in recent if event.number > number)

    def newest(self) -> int:
        """The number of the last event; 0 where there is none. Raises per `system.failures`."""
        with self._guard:
            self._follow()
            return self._recent[-1].number if self._recent else 0

    def _follow(self) -> None:
        for line in self._lines(self._read_to):
            self._read_to += len(line)
            if (event := _event(line)) is not None:
                self._recent.append(event)

    def _all(self) -> Iterator[TrailEvent]:
        return (event for line in self._lines(0) if (event := _event(line)) is not None)

    def _lines(self, start: int) -> Iterator[bytes]:
        """Whole lines from there on."""
        with on_disk("read", self._path), suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(start)
            for line in file:
                if line.endswith(b"\n"):
                    yield line

    def _last(self, fd: int) -> tuple[int, bool]:
        """The number of the last event, and whether the last line is torn."""
        size = os.fstat(fd).st_size
        tail = os.pread(fd, _TAIL, max(0, size - _TAIL))
        lines = tail.split(b"\n")
        for line in reversed(lines[:-1]):
            if (event := _event(line)) is not None:
                return event.number, bool(lines[-1])
        if size > _TAIL:
            raise DiskIOError(f"{self._path} ends in no event", hint="move it away to begin a new trail")
        return 0, bool(tail) and not tail.endswith(b"\n")


def _event(line: bytes) -> TrailEvent | None:
    try:
        found = json.loads(line)
        return TrailEvent(
            int(found["number"]),
            float(found["at"]),
            str(found["who"]),
            Deed(found["deed"]),
            str(found["model"]),
            str(found["name"]),
            str(found["before"]),
            str(found["after"]),
            str(found["version"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
