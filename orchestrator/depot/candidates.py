"""Candidates for a job's bytes: all sources of its blob, except those that failed, lied, or were skipped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Origin, Source
from orchestrator.transfer.interface import Locator

Place = tuple[Source, Origin]
"""Where a source keeps a blob."""


class Choosing(Locator, Protocol):
    """A locator that distinguishes its candidates: sources to skip, and sources to compare with."""

    @property
    def choice(self) -> Candidates:
        """The candidates that `candidates` gives."""


class Candidates:
    """The choice of a depot. Thread-safe.

    `places` gives all sources that list a job's blob, the most trusted first, whatever was said against them; None for
    one that has no place to compare bytes with. It must not block, and may say more later. `bans` grows whenever others
    are banned than before.
    """

    def __init__(self, places: Callable[[Job], Mapping[str, Place | None]]) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._out: set[str] = set()
        self.bans = 0
        self._only: dict[Digest, frozenset[str]] = {}
        self._together: set[Digest] = set()

    def all(self, job: Job) -> tuple[str, ...]:
        """All sources that list the job's blob, the most trusted first, whatever was said against them."""
        return tuple(self._places(job))

    def of(self, job: Job) -> tuple[str, ...]:
        """The sources that may be asked now, the most trusted first."""
        names = self.all(job)
        with self._lock:
            only = self._only.get(job.digest)
            return tuple(name for name in names if (name in only if only else name not in self._out))

    def place(self, job: Job, name: str) -> Place | None:
        """The place of the blob at the source; None if it is not a source of it."""
        return self._places(job).get(name)

    def is_restricted(self, job: Job) -> bool:
        """True when `restrict` was called for the job: its bytes were wrong before."""
        return job.digest in self._only

    def is_alone(self, job: Job) -> bool:
        """True when the job is restricted to sources that this run asks by itself, without any company."""
        return job.digest in self._only and job.digest not in self._together

    def restrict(self, job: Job, names: Collection[str], *, together: bool = False) -> None:
        """From now on only these sources are candidates for this job; `together` with the company of the depot."""
        with self._lock:
            self._only[job.digest] = frozenset(names)
            (self._together.add if together else self._together.discard)(job.digest)

    def forget(self, digest: Digest) -> None:
        """From now on a job's candidates are what they were before `restrict`."""
        with self._lock:
            self._only.pop(digest, None)
            self._together.discard(digest)

    def forgive(self) -> None:
        """Let all in again that were banned."""
        with self._lock:
            self._out.clear()
            self.bans += 1

    def is_banned(self, name: str) -> bool:
        """True when `ban` was called for the source."""
        with self._lock:
            return name in self._out

    def ban(self, name: str) -> bool:
        """From now on this source is no candidate for any job that was not restricted to it; False if it was banned
        before."""
        with self._lock:
            is_new = name not in self._out
            self._out.add(name)
            self.bans += 1
            return is_new
