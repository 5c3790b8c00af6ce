"""The trail of a registry: who changed what, one JSON object a line, in a file that is only added to.

`registry/trail.jsonl` in the state folder (0600). Each event has a number, one more than the last, by which readers go
on. An event is on the disk before its change counts (see `registry.keeping`).
"""

from __future__ import annotations

import json
import os
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.disk.access import OURS_ALONE
from orchestrator.disk.durability import sync_names
from orchestrator.disk.locks import state_lock
from orchestrator.errors import DiskIOError
from orchestrator.platform.open_flags import CLOEXEC, NOFOLLOW
from orchestrator.platform.places import read_at
from orchestrator.registry.names import is_model
from orchestrator.system.failures import on_disk

_KEPT = 5_000
"""Events that are kept in memory, for those who ask again and again for what is new."""
_MARKED = 500
"""Events between two places in the file that are remembered."""
_TAIL = 64 << 10
_MOST_NUMBER = 1 << 40
"""Above the numbers of all events, and the seconds of all times, that there can be."""


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
    """The trail of a state folder; threads and processes may share it.

    Another file in its place, as after it was moved away, is another trail, with numbers of its own.
    """

    def __init__(self, folder: Path, *, on_event: Callable[[TrailEvent], None] = lambda _: None) -> None:
        self._path = folder / "trail.jsonl"
        self._lock = folder / "trail.lock"
        self._on_event = on_event
        self._guard = threading.Lock()
        self._recent: deque[TrailEvent] = deque(maxlen=_KEPT)
        self._file: tuple[int, int] | None = None
        self._read_to = 0
        self._last_of: dict[str, int] = {}
        """The number of the last event of each model."""
        self._marks: list[tuple[int, int]] = []
        """Numbers of events, and the place of each in the file: one of many."""

    def add(self, *events: TrailEvent) -> tuple[TrailEvent, ...]:
        """Add events, all or none, and give them their numbers.

        Raises per `system.failures`, and DiskIOError for a damaged trail, or without locks.
        """
        with on_disk("write", self._path), state_lock(self._lock, strict=True):
            is_new = not self._path.exists()
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | CLOEXEC | NOFOLLOW, 0o600)
            try:
                if not OURS_ALONE.holds(os.fstat(fd)):
                    raise DiskIOError(f"{self._path} is not added to: others own it, or may read or write it")
                last, torn = self._last(fd)
                events = tuple(replace(event, number=last + at) for at, event in enumerate(events, 1))
                # What a crash left of a line stays, and is passed over by readers.
                _append(fd, b"\n" * torn + b"".join(map(_line, events)))
            finally:
                os.close(fd)
            if is_new:
                sync_names(self._path.parent)
        for event in events:
            self._on_event(event)
        return events

    def has(self, events: Collection[TrailEvent]) -> frozenset[TrailEvent]:
        """Those of these events that are in the trail, whatever their number. Reads all of it."""
        wanted = {replace(event, number=0): event for event in events}
        found = (wanted.get(replace(event, number=0)) for event in self._all())
        return frozenset(event for event in found if event is not None)

    def after(self, number: int) -> Iterator[TrailEvent]:
        """The events behind that number, the oldest first. Raises per `system.failures`."""
        with self._guard:
            self._follow()
            recent = tuple(self._recent)
            mark = bisect_right(self._marks, number, key=itemgetter(0)) - 1
            start = self._marks[mark][1] if mark >= 0 else 0
        if recent and number < recent[0].number - 1:
            return (event for event in self._all(start) if event.number > number)
        return (event for event in recent if event.number > number)

    def newest(self, counts: Callable[[str], bool] = lambda _: True) -> int:
        """The number of the last event of the models that count, by their names; 0 where there is none.

        Raises per `system.failures`.
        """
        with self._guard:
            self._follow()
            last_of = tuple(self._last_of.items())
        return max((number for model, number in last_of if counts(model)), default=0)

    def _follow(self) -> None:
        """Read what is new in the file."""
        with self._opened() as file:
            found = os.fstat(file.fileno()) if file else None
            named = (found.st_dev, found.st_ino) if found else None
            if named != self._file or (found and found.st_size < self._read_to):
                self._recent.clear()
                self._marks.clear()
                self._last_of.clear()
                self._file, self._read_to = named, 0
            for line in _lines(file, self._read_to) if file else ():
                if (event := _event(line)) is not None:
                    self._recent.append(event)
                    self._last_of[event.model] = event.number
                    if not self._marks or event.number >= self._marks[-1][0] + _MARKED:
                        self._marks.append((event.number, self._read_to))
                self._read_to += len(line)

    def _all(self, start: int = 0) -> Iterator[TrailEvent]:
        """The events in the file from there on."""
        with self._opened() as file:
            for line in _lines(file, start) if file else ():
                if (event := _event(line)) is not None:
                    yield event

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO | None]:
        with on_disk("read", self._path), ExitStack() as held:
            file = None
            with suppress(FileNotFoundError):
                file = held.enter_context(self._path.open("rb"))
            yield file

    def _last(self, fd: int) -> tuple[int, bool]:
        """The number of the last event, and whether the last line is torn."""
        size = os.fstat(fd).st_size
        tail = read_at(fd, _TAIL, max(0, size - _TAIL))
        lines = tail.split(b"\n")
        for line in reversed(lines[:-1]):
            if (event := _event(line)) is not None:
                return event.number, bool(lines[-1])
        if size > _TAIL:
            raise DiskIOError(f"{self._path} ends in no event", hint="move it away to begin a new trail")
        return 0, bool(tail) and not tail.endswith(b"\n")


def _append(fd: int, data: bytes) -> None:
    """Write all of it behind what is there, and have it on the disk; or leave the file as it was. Raises OSError."""
    size = os.fstat(fd).st_size
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        os.fsync(fd)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(fd, size)
        raise


def _lines(file: BinaryIO, start: int) -> Iterator[bytes]:
    """Whole lines from there on."""
    file.seek(start)
    for line in file:
        if line.endswith(b"\n"):
            yield line


def _line(event: TrailEvent) -> bytes:
    return json.dumps(asdict(event), separators=(",", ":"), sort_keys=True).encode() + b"\n"


def _event(line: bytes) -> TrailEvent | None:
    """The event in a line; None for what is none of ours, such as what a crash left."""
    try:
        event = event_of(json.loads(line))
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    return event if 0 < event.number < _MOST_NUMBER else None


def event_of(found: Mapping[str, Any]) -> TrailEvent:
    """The event of what `asdict` gave, as JSON has it. Raises ValueError, KeyError, TypeError, OverflowError."""
    model, name, at = found["model"], found["name"], float(found["at"])
    if not (isinstance(model, str) and isinstance(name, str) and is_model(model) and 0 <= at < _MOST_NUMBER):
        raise ValueError("no event of a model")
    return TrailEvent(
        int(found["number"]),
        at,
        str(found["who"]),
        Deed(found["deed"]),
        model,
        name,
        str(found["before"]),
        str(found["after"]),
        str(found["version"]),
    )
