"""What goes into a transfer and what comes out. Values only, so that a run that fetches nothing loads no aria2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from orchestrator.core.plan import Job
from orchestrator.errors import GlmAriaError, UsageError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a daemon listens, `http://host:port/jsonrpc`, and the secret that it asks for."""

    url: str
    secret: str = field(repr=False, default="")

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
    """An address of a job's bytes and the name of the source behind it. The address may be signed: never shown.

    `latency` is how long the source took to answer a small request, in seconds; None when it was not asked.
    """

    source: str
    url: str = field(repr=False)
    latency: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """`mirrors` is how many sources may serve one file, `budget` bounds all open connections together, `jobs` the files
    under way; `max_speed` is bytes per second.

    `max_speed` is applied here only where the daemon's own global limit is not ours to set.
    """

    connections_per_mirror: int = 16
    mirrors: int = 1
    budget: int = 64
    jobs: int | None = None
    max_speed: int | None = None


class Locator(Protocol):
    """Where a job's bytes are. Both methods raise GlmAriaError and may be called again for fresh addresses."""

    def direct(self, job: Job) -> tuple[Uri, ...] | None:
        """Addresses that can be given without asking anybody, or None. Must not block."""

    def locate(self, job: Job) -> tuple[Uri, ...]:
        """Addresses, found by asking the sources; blocks, and is called from several threads. Never empty."""


@dataclass(frozen=True, slots=True)
class Moved:
    """An active job: `done` bytes arrived, of them `prefix` from the start without a gap; `speed` in bytes/s."""

    job: Job
    done: int
    prefix: int
    speed: int
    connections: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """All bytes are in `part`, unproven.

    `sources` estimates the bytes that each source sent in this run: one that was quick may be missing from it. `asked`
    are all sources that may have sent some, and `is_resumed` says that others, in an earlier run, may have, too.
    """

    job: Job
    part: Path
    sources: Mapping[str, int]
    asked: tuple[str, ...] = ()
    is_resumed: bool = False


@dataclass(frozen=True, slots=True)
class Already:
    """Another process has placed the blob meanwhile."""

    job: Job


@dataclass(frozen=True, slots=True)
class Lost:
    """The job is given up; what arrived stays for the next run."""

    job: Job
    error: GlmAriaError


Outcome = Moved | Fetched | Already | Lost
