"""Addresses for aria2: which sources may have a job's bytes, and where each has them, asked just before it starts."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Protocol

from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Body, Origin, RangeAnswer, Source
from orchestrator.errors import (
    GlmAriaError,
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
    TrustError,
)
from orchestrator.events import Emit, Notice
from orchestrator.mirrors.links import Links, announced_digest, file_url
from orchestrator.mirrors.quarantine import usable
from orchestrator.mirrors.ranges import ask_for_range
from orchestrator.mirrors.shortcuts import Shortcuts
from orchestrator.mirrors.small_files import Wanted, open_body
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.pull.other_catalogs import Holdings
from orchestrator.pull.tools import Tools
from orchestrator.resolve.restricted import may_hear
from orchestrator.transfer.interface import Locator, Uri


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
        self._shortcuts = Shortcuts()

    def order(self, job: Job) -> tuple[str, ...]:
        """See `Sources`."""
        root = self._root(job)
        return tuple(sorted((name for name in self._sources if self.sample(job, name)), key=lambda name: name != root))

    def candidates(self, job: Job) -> tuple[str, ...]:
        """See `transfer.interface.Locator`."""
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

    def locate(self, job: Job, source: str) -> Uri:
        """See `transfer.interface.Locator`."""
        known = self.sample(job, source)
        if known is None:
            raise self._no_source(job, source)
        is_root = source == self._root(job)
        links = self._patient if is_root else self._brief
        started = time.monotonic()
        try:
            link = links.resolve(*known, job.size, job.digest, is_restricted=job.is_restricted)
        except GlmAriaError as error:
            if not is_root:
                self._leave_out(source, error)
            raise
        return Uri(source, link.url, time.monotonic() - started, link.expires_at, link.needs_token)

    @contextmanager
    def fetch(self, job: Job, source: str, start: int, end: int) -> Iterator[Body]:
        """See `transfer.interface.Locator`."""
        known = self.sample(job, source)
        if known is None:
            raise self._no_source(job, source)
        with ExitStack() as stack:
            try:
                body = stack.enter_context(self._body(job, *known, start, end))
            except GlmAriaError as error:
                if source != self._root(job):
                    self._leave_out(source, error)
                raise
            yield body

    @contextmanager
    def _body(self, job: Job, source: Source, origin: Origin, start: int, end: int) -> Iterator[Body]:
        net = self._net_for(job, source.name)
        wanted = Wanted(origin.path, origin.repo.url_path, job.size, start, end)
        with ExitStack() as stack:
            body = self._foretold(stack, net, job, source, origin, wanted)
            if body is None:
                body, stream = stack.enter_context(open_body(net, source, file_url(source, origin), wanted))
                self._shortcuts.learn(source, origin, job.digest, stream.url)
            yield body

    def _foretold(  # noqa: PLR0917 - as above, and where to keep it open
        self, stack: ExitStack, net: Net, job: Job, source: Source, origin: Origin, wanted: Wanted
    ) -> Body | None:
        """What the source has where its redirect would lead; None when nobody knows, or it is not surely this file."""
        url = self._shortcuts.address(source, origin, job.digest)
        # A blob whose bytes were wrong has its second try at the plain address.
        if url is None or job.digest in self._only:
            return None
        with ExitStack() as tried, suppress(NotFoundError, NotAllowedError, ProtocolError, IntegrityError):
            body, stream = tried.enter_context(open_body(net, source, url, wanted))
            if announced_digest(stream.headers, job.digest) == job.digest.hex:
                stack.push(tried.pop_all())
                return body
        self._shortcuts.distrust(source, origin)
        return None

    def _net_for(self, job: Job, source: str) -> Net:
        return self._net if source == self._root(job) else self._mirror_net

    @staticmethod
    def _no_source(job: Job, name: str) -> GlmAriaError:
        return SourcesDownError(f"{name} is no source of {job.name!r}", file=job.name, source=name)

    def _root(self, job: Job) -> str:
        """Who is most trusted to have the job's bytes: the site that listed it."""
        return self._catalogs[job.origins[0].kind].source.name

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        """See `transfer.interface.Locator`."""
        with blaming(uri.source, job.name):
            return ask_for_range(self._net_for(job, uri.source), self._sources[uri.source], uri.url, start, end)

    def _leave_out(self, name: str, error: GlmAriaError) -> None:
        if not isinstance(error, SourcesDownError | TemporaryError | TrustError):
            self._emit(Notice("mirror-differs", error.message, mirror=name, file=error.file))
            return
        with self._lock:
            if name in self._out:
                return
            self._out.add(name)
        self._emit(Notice("mirror-down", f"{name} is left out: {error.message}", mirror=name))
