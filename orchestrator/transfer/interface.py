"""What goes into a transfer and what comes out. Values only, so that a run that fetches nothing loads no aria2."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from orchestrator.core.extents import Extents
from orchestrator.core.plan import Job
from orchestrator.core.sources import Body, RangeAnswer
from orchestrator.errors import GlmAriaError, UsageError
from orchestrator.system.listeners import Listener


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a daemon listens, `http://host:port/jsonrpc`, and the secret that it asks for.

    `listener` is the process behind it, where that is ours: it is proven again for each connection.
    `ca_bundle` is a file or folder of the certificates that are believed of it; None for the usual ones.
    """

    url: str
    secret: str = field(repr=False, default="")
    listener: Listener | None = field(repr=False, compare=False, default=None)
    ca_bundle: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{self.url!r} is not an RPC address", hint="for example http://127.0.0.1:6800/jsonrpc")


class Admission(StrEnum):
    """May a job start? `BUSY`: another process fetches this blob, ask again. `ALREADY`: it did, and it is there."""

    GO = "go"
    BUSY = "busy"
    ALREADY = "already"


@dataclass(frozen=True, slots=True)
class Uri:
    """An address of a job's bytes at one source. The address may be signed: never shown.

    `latency` is how long the source took to answer a small request, in seconds; None when it was not asked.
    `expires_at` is unix seconds by this machine's clock; None when the address says nothing. `needs_token`: the bytes
    come only to a request with the token, so aria2 cannot fetch them.
    """

    source: str
    url: str = field(repr=False)
    latency: float | None = None
    expires_at: float | None = None
    needs_token: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """`connections_per_mirror` for one file, `budget` for all open connections together, `jobs` the files under way;
    `max_speed` is bytes per second over all. `downloads` is how many downloads the daemon runs at once, None for no
    fewer than the budget.
    """

    connections_per_mirror: int = 16
    budget: int = 64
    jobs: int | None = None
    max_speed: int | None = None
    downloads: int | None = None


class Locator(Protocol):
    """Where a job's bytes are. A source is known by its name."""

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        """How the source answers to a question for a range, since aria2 tells little of why it failed. Blocks, and is
        called from several threads. Raises GlmAriaError as `locate` does."""

    def candidates(self, job: Job) -> tuple[str, ...]:
        """The sources that may have the bytes, the most useful first. Must not block; may change from call to call."""

    def locate(self, job: Job, source: str) -> Uri:
        """An address, found by asking the source; blocks, and is called from several threads. May be called again for
        a fresh one. Raises GlmAriaError: with TemporaryError and SourcesDownError asking again may help, with others
        the source is of no use for this job."""

    def fetch(self, job: Job, source: str, start: int, end: int) -> AbstractContextManager[Body]:
        """The bytes from `start` to before `end` themselves, with the token if it may go there. Blocks until they begin
        to come, and is called from several threads. Raises as `locate` does, at the beginning and while they come."""


@dataclass(frozen=True, slots=True)
class Moved:
    """An active job: `done` bytes arrived, of them `prefix` from the start without a gap; `speed` in bytes/s."""

    job: Job
    done: int
    prefix: int
    speed: int
    connections: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast each source is now: its name, bytes per second, connections."""

    sources: tuple[tuple[str, float, int], ...]


@dataclass(frozen=True, slots=True)
class Rangeless:
    """aria2 cannot take this source's answers, for the reason in `words`: from now on its files come whole, through
    Python. Told once for each source."""

    source: str
    words: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """All bytes are in `part`, unproven. `extents` tell who sent which; `kept` of them are from an earlier run."""

    job: Job
    part: Path
    extents: Extents
    kept: Extents = field(default_factory=Extents)

    @property
    def sources(self) -> Mapping[str, int]:
        """The bytes that each source sent in this run."""
        before = self.kept.by_source
        sent = {name: count - before.get(name, 0) for name, count in self.extents.by_source.items()}
        return {name: count for name, count in sent.items() if count > 0}


@dataclass(frozen=True, slots=True)
class Already:
    """Another process has placed the blob meanwhile."""

    job: Job


@dataclass(frozen=True, slots=True)
class Lost:
    """The job is given up; what arrived stays for the next run."""

    job: Job
    error: GlmAriaError


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that the user should know of the daemon; `code` is that of a warning."""

    code: str
    message: str


Outcome = Moved | Pace | Rangeless | Fetched | Already | Lost | Remark
