"""Addresses for aria2: which sources have a job's bytes, asked just before it starts."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from orchestrator.aria2.interface import Locator, Uri
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Origin, Source
from orchestrator.errors import GlmAriaError, NotAllowedError, SourcesDownError, TemporaryError, TrustError
from orchestrator.events import Emit, Notice
from orchestrator.flows.holdings import Holdings
from orchestrator.flows.quarantine import usable
from orchestrator.flows.tools import Tools
from orchestrator.mirrors.links import Link, Links, file_url

# Up to this size aria2 follows the redirect by itself: a file that needs one connection asks for one link anyway.
_DIRECT_BYTES = 8 << 20
# A file's addresses are fixed at its start: a listing that comes later than this is of no use to it.
_HOLDINGS_SECONDS = 1.0


class TokenOnlyError(NotAllowedError):
    """The bytes come only to a request with the token, so aria2 cannot fetch them."""


class Sources(Locator, Protocol):
    """A locator that can be told which answers to do without."""

    def distrust(self, job: Job) -> None:
        """From now on only the most trusted source is named for this job: some other one sent wrong bytes."""

    def close(self) -> None:
        """Give up what is still being asked."""


class SourceLocator:
    """The `Locator` of a run. It leaves out sources that are down, and for distrusted jobs all but the root."""

    def __init__(self, tools: Tools, emit: Emit, holdings: Holdings) -> None:
        self._catalogs = tools.catalogs
        self._holdings = holdings
        self._sources = usable(tools.sources, tools.memory.read(), emit)
        self._patient, self._brief = Links(tools.net), Links(tools.mirror_net)
        self._emit = emit
        self._lock = threading.Lock()
        self._down: set[Source] = set()
        self._distrusted: set[Digest] = set()
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="sources")

    def close(self) -> None:
        """See `Sources`."""
        self._holdings.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def distrust(self, job: Job) -> None:
        """See `Sources`."""
        with self._lock:
            self._distrusted.add(job.digest)

    def direct(self, job: Job) -> tuple[Uri, ...] | None:
        """See `aria2.interface.Locator`. Small public files need no question."""
        if job.is_restricted or (job.is_lfs and job.size > _DIRECT_BYTES):
            return None
        return tuple(Uri(source.name, file_url(source, origin)) for source, origin in self._candidates(job)) or None

    def locate(self, job: Job) -> tuple[Uri, ...]:
        """See `aria2.interface.Locator`. All sources are asked at once; those that cannot help are left out."""
        self._holdings.wait(_HOLDINGS_SECONDS)
        candidates = self._candidates(job)
        asked = [self._pool.submit(self._ask, source, origin, job) for source, origin in candidates]
        answers = [future.result() for future in asked]
        links = [answer for answer in answers if isinstance(answer, tuple)]
        usable = tuple(Uri(link.source.name, link.url, latency) for link, latency in links if not link.needs_token)
        if usable:
            return usable
        if links:
            raise TokenOnlyError(f"{job.name!r} is sent only to requests with the token", file=job.name)
        errors = [answer for answer in answers if isinstance(answer, GlmAriaError)]
        # The first candidate is the most trusted one: what it says is the reason.
        raise errors[0] if errors else SourcesDownError(f"no source serves {job.name!r}", file=job.name)

    def _candidates(self, job: Job) -> list[tuple[Source, Origin]]:
        with self._lock:
            only_root, down = job.digest in self._distrusted, frozenset(self._down)
        root = self._root(job)
        sources = (s for s in self._sources if s not in down and (s == root or not only_root))
        pairs = [(source, origin) for source in sources if (origin := self._holdings.origin(job, source))]
        # The root first: what it says of a failure is the reason.
        return sorted(pairs, key=lambda pair: pair[0] != root)

    def _root(self, job: Job) -> Source:
        return self._catalogs[job.origins[0].kind].source

    def _ask(self, source: Source, origin: Origin, job: Job) -> tuple[Link, float] | GlmAriaError:
        """The link and the seconds that it took to get it, or why there is none."""
        links = self._patient if source == self._root(job) else self._brief
        started = time.monotonic()
        try:
            link = links.resolve(source, origin, job.size, job.digest, is_restricted=job.is_restricted)
            return link, time.monotonic() - started
        except GlmAriaError as error:
            if source != self._root(job):
                self._leave_out(source, error)
            return error

    def _leave_out(self, source: Source, error: GlmAriaError) -> None:
        if not isinstance(error, SourcesDownError | TemporaryError | TrustError):
            self._emit(Notice("mirror-differs", error.message, mirror=source.name, file=error.file))
            return
        with self._lock:
            if source in self._down:
                return
            self._down.add(source)
        self._emit(Notice("mirror-down", f"{source.name} is left out: {error.message}", mirror=source.name))
