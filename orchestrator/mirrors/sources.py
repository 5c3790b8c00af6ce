"""The sources of a run: where bytes may come from, what is remembered of each, and how long each is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.dialects import Dialect
from orchestrator.core.registries import Site
from orchestrator.core.sources import Origin, Source
from orchestrator.mirrors.gate import LoopbackGate
from orchestrator.mirrors.stats import SourceStats
from orchestrator.net.session import Net
from orchestrator.oci.registries import Registries


@dataclass(frozen=True, slots=True)
class Sources:
    """`ordered` by preference, roots first; `roots` are the ones that list the repos of each kind.

    `stats` is what earlier runs learned about them. `patient` waits for a root; `hasty` gives up soon. `registries` are
    how those are asked that refs name themselves, and `met` the ones that were met up to now, by name. `gate`
    is where aria2 gets what wants a token.
    """

    ordered: tuple[Source, ...]
    roots: Mapping[Dialect, Source]
    stats: SourceStats
    patient: Net
    hasty: Net
    registries: Registries
    gate: LoopbackGate
    met: dict[str, Source] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Source, ...]:
        """The sources of settings, and those that refs named."""
        return (*self.ordered, *self.met.values())

    def first(self, origin: Origin) -> Source:
        """The source whose word the origin is: the root of its kind, or the site that the ref named."""
        if origin.site is None:
            return self.roots[origin.kind]
        return self.met.setdefault(origin.site.name, origin.site)

    def net_for(self, source: Source, origin: Origin) -> Net:
        """The client for the blob of an `origin` at a source: only the first source of a repo is worth waiting for."""
        return self.patient if source == self.roots.get(origin.kind) else self.hasty_for(source, origin)

    def renew(self, source: Source, origin: Origin) -> bool:
        """Drop what a registry gave us for the blob's repository, if the source is one; it is worth asking again then,
        also where another thread has dropped it."""
        if source.kind.names_site:
            self.registries.forget(Site.at(source.url).repository(origin.repo.name))
        return source.kind.names_site

    def hasty_for(self, source: Source, origin: Origin) -> Net:
        """The client that waits for nobody, except for a registry: nobody else may have its blobs."""
        if source.kind.names_site:
            repository = Site.at(source.url).repository(origin.repo.name)
            return self.registries.reader(repository, source.file_url(origin))
        return self.hasty
