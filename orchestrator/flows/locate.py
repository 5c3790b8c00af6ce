"""Addresses for aria2: which sources may have a job's bytes, and where each has them, asked just before it starts."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from functools import partial
from typing import Protocol

from orchestrator.aria2.interface import Locator, Uri
from orchestrator.aria2.spans import SMALL
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Origin, RangeAnswer, Source
from orchestrator.errors import GlmAriaError, NotAllowedError, SourcesDownError, TemporaryError, TrustError
from orchestrator.events import Emit, Notice
from orchestrator.flows.holdings import Holdings
from orchestrator.flows.quarantine import usable
from orchestrator.flows.restricted import may_hear
from orchestrator.flows.tools import Tools
from orchestrator.mirrors.links import Links, file_url
from orchestrator.mirrors.ranges import ask_for_range
from orchestrator.mirrors.shortcuts import Kind, Shortcuts
from orchestrator.net.failures import blaming


class TokenOnlyError(NotAllowedError):
    """The bytes come only to a request with the token, so aria2 cannot fetch them."""


class Sources(Locator, Protocol):
    """A locator that can be told whom to do without."""

    def order(self, job: Job) -> tuple[str, ...]:
        """All sources that list the job's blob, the most trusted first, whatever was said against them."""

    def restrict(self, job: Job, names: Collection[str]) -> None:
        """From now on only these sources are candidates for this job."""

    def ban(self, name: str) -> None:
        """From now on this source is no candidate for any job that was not restricted to it."""

    def sample(self, job: Job, name: str) -> tuple[Source, Origin] | None:
        """Where the source keeps the blob; None when it is no source of it."""


class SourceLocator:
    """The `Sources` of a run. It leaves out sources that are down."""

    def __init__(self, tools: Tools, emit: Emit, holdings: Holdings) -> None:
        self._catalogs = tools.catalogs
        self._holdings = holdings
        self._may_hear = partial(may_hear, tools=tools)
        self._sources = {source.name: source for source in usable(tools.sources, tools.memory.read(), emit)}
        self._net, self._mirror_net = tools.net, tools.mirror_net
        self._patient, self._brief = Links(tools.net), Links(tools.mirror_net)
        self._emit = emit
        self._lock = threading.Lock()
        self._out: set[str] = set()
        self._only: dict[Digest, frozenset[str]] = {}
        self._shortcuts = Shortcuts(self._brief)
        self._questions: dict[Kind, threading.Lock] = {}
        self._was_asked: set[str] = set()

    def order(self, job: Job) -> tuple[str, ...]:
        """See `Sources`."""
        root = self._root(job)
        return tuple(sorted((name for name in self._sources if self.sample(job, name)), key=lambda name: name != root))

    def candidates(self, job: Job) -> tuple[str, ...]:
        """See `aria2.interface.Locator`."""
        with self._lock:
            only = self._only.get(job.digest)
            return tuple(name for name in self.order(job) if (name in only if only else name not in self._out))

    def restrict(self, job: Job, names: Collection[str]) -> None:
        """See `Sources`."""
        with self._lock:
            self._only[job.digest] = frozenset(names)

    def ban(self, name: str) -> None:
        """See `Sources`."""
        with self._lock:
            self._out.add(name)

    def sample(self, job: Job, name: str) -> tuple[Source, Origin] | None:
        """See `Sources`. Known of other kinds of catalogs once they have answered."""
        source = self._sources.get(name)
        if source is None or not self._may_hear(source, job.origins[0].kind, is_restricted=job.is_restricted):
            return None
        origin = self._holdings.origin(job, source)
        return (source, origin) if origin else None

    def direct(self, job: Job, source: str) -> Uri | None:
        """See `aria2.interface.Locator`. Small public files need no question once the source has answered one or two:
        aria2 then follows redirects by itself, so the first are looked at here."""
        known = self.sample(job, source)
        if known is None or source not in self._was_asked or not self._may_be_direct(job, source):
            return None
        # A blob whose bytes were wrong has its second try at the plain address.
        plain = file_url(*known)
        url = plain if job.digest in self._only else self._shortcuts.address(*known, job.digest)
        return Uri(source, url, is_foretold=url != plain) if url else None

    def _may_be_direct(self, job: Job, source: str) -> bool:
        # A question tells whether a mirror's LFS file is the same one, and costs no more than its redirect.
        return not job.is_restricted and job.size < SMALL and (not job.is_lfs or source == self._root(job))

    def locate(self, job: Job, source: str, *, must_ask: bool = False) -> Uri:
        """See `aria2.interface.Locator`."""
        known = self.sample(job, source)
        if known is None or not self._may_be_direct(job, source):
            return self._ask(job, source)
        if must_ask:
            self._shortcuts.distrust(*known)
            return self._ask(job, source)
        # Many small files start at once: what is learned from the first of a kind holds for all of them.
        with self._question(Shortcuts.kind(*known)):
            found = self.direct(job, source)
            if found is None and self._shortcuts.prove(*known, job.size, job.digest):
                found = self.direct(job, source)
            if found is None:
                found = self._ask(job, source)
                self._shortcuts.learn(*known, job.digest, found.url)
            return found

    def _question(self, kind: Kind) -> threading.Lock:
        with self._lock:
            return self._questions.setdefault(kind, threading.Lock())

    def _root(self, job: Job) -> str:
        """Who is most trusted to have the job's bytes: the site that listed it."""
        return self._catalogs[job.origins[0].kind].source.name

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        """See `aria2.interface.Locator`."""
        net = self._net if uri.source == self._root(job) else self._mirror_net
        with blaming(uri.source, job.name):
            return ask_for_range(net, self._sources[uri.source], uri.url, start, end)

    def _ask(self, job: Job, name: str) -> Uri:
        known = self.sample(job, name)
        if known is None:
            raise SourcesDownError(f"{name} is no source of {job.name!r}", file=job.name, source=name)
        is_root = name == self._root(job)
        links = self._patient if is_root else self._brief
        started = time.monotonic()
        try:
            link = links.resolve(*known, job.size, job.digest, is_restricted=job.is_restricted)
        except GlmAriaError as error:
            if not is_root:
                self._leave_out(name, error)
            raise
        if link.needs_token:
            raise TokenOnlyError(f"{job.name!r} is sent only to requests with the token", file=job.name, source=name)
        self._was_asked.add(name)
        return Uri(name, link.url, time.monotonic() - started, link.expires_at)

    def _leave_out(self, name: str, error: GlmAriaError) -> None:
        if not isinstance(error, SourcesDownError | TemporaryError | TrustError):
            self._emit(Notice("mirror-differs", error.message, mirror=name, file=error.file))
            return
        with self._lock:
            if name in self._out:
                return
            self._out.add(name)
        self._emit(Notice("mirror-down", f"{name} is left out: {error.message}", mirror=name))
