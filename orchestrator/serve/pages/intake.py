"""Intake of a server: what it fetches, from whom and how fast, and what went wrong, from the events of its depot."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.core.files import Digest
from orchestrator.core.sizes import format_size
from orchestrator.core.text import redacted
from orchestrator.events import Event, Evicted, FileProgress, Foreseen, Notice, Phase, SourceRates

_MOST_NEWS = 100
_MOST_TRANSFERS = 1000
_MOST_SOURCES = 64
_OVER = (Phase.DONE, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class News:
    """A remark for people, with its number. `at` is unix seconds; `code` is that of the notice, or the phase in which a
    file ended. `names_repo`: the message may name one."""

    number: int
    at: float
    code: str
    message: str
    names_repo: bool = True


@dataclass(slots=True)
class Taken:
    """The account of one source. `rate` is bytes a second now; `sent` all bytes that it sent, of use or not."""

    rate: float = 0.0
    connections: int = 0
    sent: int = 0
    lies: int = 0
    is_quarantined: bool = False


@dataclass(frozen=True, slots=True)
class IntakeState:
    """The intake at one moment. `proven` are the bytes of the files that came whole, `evicted` those that made room."""

    transfers: tuple[FileProgress, ...]
    sources: tuple[tuple[str, Taken], ...]
    news: tuple[News, ...]
    files: int
    failed: int
    proven: int
    evicted: int


@dataclass(slots=True)
class _Counts:
    files: int = 0
    failed: int = 0
    proven: int = 0
    evicted: int = 0


class Intake:
    """Takes events of any thread. `clock` is unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._transfers: dict[Digest, FileProgress] = {}
        self._fetched: set[Digest] = set()
        self._sources: dict[str, Taken] = {}
        self._before: dict[str, int] = {}
        self._news: deque[News] = deque(maxlen=_MOST_NEWS)
        self._counts = _Counts()
        self._told = 0

    def take(self, event: Event) -> None:
        """Count an event."""
        with self._lock:
            match event:
                case FileProgress():
                    self._file(event)
                case SourceRates():
                    self._rates(event)
                case Notice():
                    self._notice(event)
                case Foreseen():
                    about = f"{event.model} {event.deed}" if event.model else event.deed
                    self._tell("foreseen", f"{about}: {event.why}")
                case Evicted():
                    self._counts.evicted += event.size
                    self._tell("evicted", f"{event.model}, {format_size(event.size)}")

    def state(self) -> IntakeState:
        """All of it, as it is now."""
        with self._lock:
            transfers = tuple(self._transfers.values())
            is_moving = any(one.speed for one in transfers)
            sources = tuple((name, _copy(taken, is_moving=is_moving)) for name, taken in sorted(self._sources.items()))
            counts = self._counts
            return IntakeState(
                transfers,
                sources,
                tuple(self._news),
                counts.files,
                counts.failed,
                counts.proven,
                counts.evicted,
            )

    def _file(self, event: FileProgress) -> None:
        if event.phase not in _OVER:
            if event.digest in self._transfers or len(self._transfers) < _MOST_TRANSFERS:
                self._transfers[event.digest] = event
            return
        self._transfers.pop(event.digest, None)
        if event.phase is Phase.DONE:
            self._counts.files += 1
            self._counts.proven += event.total
        else:
            self._counts.failed += 1
        self._tell(event.phase, event.name, names_repo=False)

    def _rates(self, event: SourceRates) -> None:
        for name, rate, connections in event.sources:
            taken = self._of(name)
            taken.rate, taken.connections = rate, connections
        for name, sent in event.sent:
            before = self._before.get(name, 0)
            # A new transfer counts from the beginning.
            self._of(name).sent += sent - before if sent >= before else sent
            self._before[name] = sent

    def _notice(self, event: Notice) -> None:
        has_lied = event.code == "mirror-lied"
        if event.mirror is not None and (has_lied or event.code == "mirror-quarantined"):
            taken = self._of(event.mirror)
            taken.lies += has_lied
            taken.is_quarantined = True
        # No mirror is told the name of a closed repo.
        self._tell(event.code, event.message, names_repo=event.mirror is None)

    def _tell(self, code: str, message: str, *, names_repo: bool = True) -> None:
        self._told += 1
        self._news.append(News(self._told, self._clock(), code, redacted(message), names_repo))

    def _of(self, name: str) -> Taken:
        if name not in self._sources and len(self._sources) >= _MOST_SOURCES:
            name = "others"
        return self._sources.setdefault(name, Taken())


def _copy(taken: Taken, *, is_moving: bool) -> Taken:
    return replace(taken) if is_moving else replace(taken, rate=0.0, connections=0)
