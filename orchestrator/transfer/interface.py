"""Inputs and outputs of a transfer. Values only, so that a run that fetches nothing loads no aria2."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from orchestrator.aria2.endpoint import Remark
from orchestrator.core.extents import Extents, Ranges
from orchestrator.core.plan import Job
from orchestrator.core.sources import Body, RangeAnswer, Sent
from orchestrator.errors import GlmAriaError
from orchestrator.proof.verified import VerifiedFile


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
class Need:
    """The ranges that are wanted of a job: `only` these, None for all; `first` are those that somebody waits for.

    Ranges grow to whole pieces of 64 KiB. A job of which only a part is wanted is never fetched, but paused once that
    part is here; a file that is one request comes whole in any case.
    """

    only: Ranges | None = None
    first: Ranges = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a source. `connections`: over so many at once, without a trial of more; None to find out how
    many help. `losing`: the most of them where the line loses packets though it is not full. `rest`: the seconds for
    which it is left alone when it said that it is busy, which is no fault of it then; None for a server that is to be
    asked less from then on. `is_direct`: past any proxy, once and for all.
    """

    connections: int | None = None
    losing: int | None = None
    rest: float | None = None
    is_direct: bool = False


class Locator(Protocol):
    """The sources of a job's bytes. A source is known by its name."""

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        """The source's answer to a request for a range, since aria2 says little about why it failed. Blocks, and is
        called from several threads. Raises GlmAriaError as `locate` does."""

    def candidates(self, job: Job) -> tuple[str, ...]:
        """The sources that may have the bytes, the most useful first. Must not block; may change from call to call."""

    def reach(self, job: Job, source: str) -> Ranges | None:
        """The ranges that the source may be asked for now, None for all. Must not block; may change from call to call.

        Of a range that begins or ends within a piece of 64 KiB, that piece is not asked for. Who has none is not asked
        for anything, and not blamed for that. A connection whose range is outside of it by now is stopped."""

    def pick(self, job: Job, source: str, free: Ranges) -> int | None:
        """The place in `free` where the next range begins that the source is asked for; None for the front. Must not
        block. `free` are the ranges that it may be asked for, and that nobody else brings."""

    def terms(self, source: str) -> Terms:
        """The terms of a source. Must not block; may change from call to call."""

    def locate(self, job: Job, source: str) -> Uri:
        """An address, found by asking the source; blocks, and is called from several threads. May be called again for
        a fresh one. Raises GlmAriaError: with TemporaryError and SourcesDownError asking again may help, with others
        the source is of no use for this job."""

    def fetch(self, job: Job, source: str, start: int, end: int) -> Body:
        """The bytes from `start` to before `end` themselves, with the token if it may go there; the caller closes them.
        Blocks until they begin to come, and is called from several threads. Raises as `locate` does, at the beginning
        and while they come."""

    def reconnect(self) -> None:
        """Keep no connection that is open now: it may be dead, though nobody told us so."""


@dataclass(frozen=True, slots=True)
class Moved:
    """An active job: what `arrived` in the part up to now, unproven, `kept` of it from an earlier run; `speed` in
    bytes/s."""

    job: Job
    arrived: Extents
    speed: int
    connections: int
    kept: Extents = field(default_factory=Extents)

    @property
    def sent(self) -> Sent:
        """The bytes that each source sent in this run."""
        return _sent(self.arrived, self.kept)


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The bytes of a job in `ranges`, None for all, that arrived count for nothing, and will come again. Told before
    anything is written there."""

    job: Job
    ranges: Ranges | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """A job that has all that is wanted of it, or that nobody wants; what `arrived` is journalled, and unproven."""

    job: Job
    arrived: Extents


@dataclass(frozen=True, slots=True)
class Pace:
    """The present pace of each source: its name, bytes per second, connections. `sent`: the bytes that came from each
    of them since the transfer was opened, also those that were of no use."""

    sources: tuple[tuple[str, float, int], ...]
    sent: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Rangeless:
    """aria2 cannot take this source's answers, for the reason in `words`: from now on its files come whole, through
    Python. Told once for each source."""

    source: str
    words: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """All bytes are in `part`. `extents` tell who sent which; `kept` of them are from an earlier run.

    They are unproven, unless a courier wrote all of them: then `proof` is that of what it wrote, if that was right. The
    journal stays: who is stopped before the proof need not fetch them again.
    """

    job: Job
    part: Path
    extents: Extents
    kept: Extents = field(default_factory=Extents)
    proof: VerifiedFile | None = None

    @property
    def sent(self) -> Sent:
        """The bytes that each source sent in this run."""
        return _sent(self.extents, self.kept)


@dataclass(frozen=True, slots=True)
class Already:
    """Another process has placed the blob meanwhile."""

    job: Job


@dataclass(frozen=True, slots=True)
class Lost:
    """The job is given up; what arrived stays for the next run."""

    job: Job
    error: GlmAriaError


def _sent(arrived: Extents, kept: Extents) -> Sent:
    return dict(Counter(arrived.by_source) - Counter(kept.by_source))


TransferEvent = Moved | TakenBack | Paused | Pace | Rangeless | Fetched | Already | Lost | Remark
