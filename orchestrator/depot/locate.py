"""Addresses for aria2: which sources may have a job's bytes, and where each has them, asked just before it starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from orchestrator.core.extents import Ranges
from orchestrator.core.plan import Job
from orchestrator.core.sources import Body, Origin, RangeAnswer, Source
from orchestrator.depot.candidates import Candidates, Place
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
from orchestrator.events import Emit, Event, Notice
from orchestrator.mirrors.links import Link, Links, announced_digest
from orchestrator.mirrors.ranges import ask_for_range
from orchestrator.mirrors.rank import usable
from orchestrator.mirrors.shortcuts import Shortcuts
from orchestrator.mirrors.small_files import FileRange, open_body
from orchestrator.mirrors.sources import Sources
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.transfer.interface import Terms, Uri

T = TypeVar("T")


class Origins(Protocol):
    """The places of blobs: those that their jobs name, and those that other catalogs list."""

    def origin(self, job: Job, source: Source) -> Origin | None:
        """The place of the job's blob at `source`, if known by now. Never blocks."""


class SourceLocator:
    """The `Locator` of a depot. It leaves out sources that are down."""

    def __init__(self, sources: Sources, catalogs: Origins, emit: Emit) -> None:
        self._sources = sources
        self._catalogs = catalogs
        self._emit = emit
        self._usable: dict[str, Source] = {}
        self._warned: list[Event] = []
        self._shortcuts = Shortcuts()
        self.choice = Candidates(self._places)
        self.renew()

    def renew(self) -> None:
        """Look again which sources may be used, and in which order; those that were left out get another chance."""
        warned: list[Event] = []
        found = usable(self._sources.ordered, self._sources.stats.read(), warned.append)
        self._usable = {source.name: source for source in found}
        self.choice.forgive()
        for warning in warned:
            if warning not in self._warned:
                self._emit(warning)
        self._warned = warned

    def _places(self, job: Job) -> dict[str, Place]:
        """The site that listed the job first. Other kinds of catalogs join once they have answered."""
        first = self._sources.first(job.origins[0])
        sites = [self._sources.first(origin) for origin in job.origins if origin.site is not None]
        found = {}
        for source in sorted((*self._usable.values(), *sites), key=lambda source: source != first):
            if origin := self._catalogs.origin(job, source):
                found[source.name] = (source, origin)
        return found

    def candidates(self, job: Job) -> tuple[str, ...]:
        """See `transfer.interface.Locator`."""
        return self.choice.of(job)

    def reach(self, job: Job, source: str) -> Ranges | None:  # noqa: ARG002 - a site has the whole of what it lists
        """See `transfer.interface.Locator`."""
        return None

    def pick(self, job: Job, source: str, free: Ranges) -> int | None:  # noqa: ARG002 - a file is fetched in order
        """See `transfer.interface.Locator`."""
        return None

    def terms(self, source: str) -> Terms:  # noqa: ARG002 - what a server bears is found out
        """See `transfer.interface.Locator`."""
        return Terms()

    def locate(self, job: Job, source: str) -> Uri:
        """See `transfer.interface.Locator`."""
        place = self._place(job, source)
        started = time.monotonic()
        try:
            link = self._asked(place, lambda: self._resolve(job, place))
        except GlmAriaError as error:
            self._leave_out(job, source, error)
            raise
        latency = time.monotonic() - started
        if link.needs_token and place[0].kind.names_site:
            net, renew = partial(self._sources.net_for, *place), partial(self._sources.renew, *place)
            address = self._sources.gate.address(link.url, place[0].url, net, renew)
            return Uri(source, address, latency)
        return Uri(source, link.url, latency, link.expires_at, link.needs_token)

    def _resolve(self, job: Job, place: Place) -> Link:
        links = Links(self._sources.net_for(*place))
        return links.resolve(*place, job.size, job.digest, is_restricted=job.is_restricted)

    def _asked(self, place: Place, ask: Callable[[], T]) -> T:
        """The result of `ask`; a registry that no longer takes a token of ours is asked again with a new one."""
        try:
            return ask()
        except NotAllowedError:
            if not self._sources.renew(*place):
                raise
            return ask()

    def fetch(self, job: Job, source: str, start: int, end: int) -> Body:
        """See `transfer.interface.Locator`."""
        place = self._place(job, source)
        try:
            return self._asked(place, lambda: self._body(job, *place, start, end))
        except GlmAriaError as error:
            self._leave_out(job, source, error)
            raise

    def _body(self, job: Job, source: Source, origin: Origin, start: int, end: int) -> Body:
        net = self._sources.net_for(source, origin)
        wanted = FileRange(origin.path, origin.repo.url_path, job.size, start, end)
        body = self._foretold(net, job, source, origin, wanted)
        if body is None:
            body, stream = open_body(net, source, source.file_url(origin), wanted)
            self._shortcuts.learn(source, origin, job.digest, stream.url)
        return body

    def _foretold(self, net: Net, job: Job, source: Source, origin: Origin, wanted: FileRange) -> Body | None:
        """The body at the predicted target of a redirect; None if unknown, or not surely this file."""
        url = self._shortcuts.address(source, origin, job.digest)
        # A blob whose bytes were wrong has its second try at the plain address.
        if url is None or self.choice.is_restricted(job):
            return None
        with suppress(NotFoundError, NotAllowedError, ProtocolError, IntegrityError):
            body, stream = open_body(net, source, url, wanted)
            if announced_digest(stream.headers, job.digest) == job.digest.hex:
                return body
            body.close()
        self._shortcuts.distrust(source, origin)
        return None

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        """See `transfer.interface.Locator`."""
        source, origin = self._place(job, uri.source)
        with blaming(uri.source, job.name):
            return ask_for_range(self._sources.net_for(source, origin), source, uri.url, start, end)

    def reconnect(self) -> None:
        """See `transfer.interface.Locator`."""
        self._sources.patient.reconnect()
        self._sources.hasty.reconnect()

    def _place(self, job: Job, name: str) -> Place:
        place = self.choice.place(job, name)
        if place is None:
            raise SourcesDownError(f"{name} is no source of {job.name!r}", file=job.name, source=name)
        return place

    def _leave_out(self, job: Job, name: str, error: GlmAriaError) -> None:
        """Skip a mirror that failed. The root is never skipped."""
        if name == self._sources.first(job.origins[0]).name:
            return
        if not isinstance(error, SourcesDownError | TemporaryError | TrustError):
            self._emit(Notice("mirror-differs", error.message, mirror=name, file=error.file))
        elif self.choice.ban(name):
            self._emit(Notice("mirror-down", f"{name} is skipped: {error.message}", mirror=name))
