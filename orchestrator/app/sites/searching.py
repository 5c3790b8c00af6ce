"""Sites of the settings that are searched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.app.compose import known_state, open_lookup, proxies_of
from orchestrator.app.registry.own_server import with_own_registry
from orchestrator.app.registry.remote import RegistryServices
from orchestrator.catalogs.search.interface import Hit, Query, Searcher
from orchestrator.catalogs.search.search import Row
from orchestrator.catalogs.search.search import search as find
from orchestrator.catalogs.search.speakers import SEARCHERS
from orchestrator.core.dialects import OWN
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Source
from orchestrator.errors import UsageError
from orchestrator.events import Emit
from orchestrator.net.answers import Limits
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from orchestrator.settings import Settings

_MOST_BYTES = 8 << 20
"""Of an answer: the names, sizes and digests of 40,000 files."""


class RegistrySearcher:
    """Implements `Searcher` for a registry of models of one's own, which tells the names that its user may read."""

    def __init__(self, source: Source, registry: RegistryServices) -> None:
        self.source = source
        self._registry = registry

    def find(self, query: Query) -> tuple[Hit, ...]:
        """See `Searcher.find`. A registry counts no downloads: the order is that of the names."""
        if query.type is not RepoType.MODEL or query.gguf:
            return ()
        words = query.words.lower().split()
        names = (name for name in self._registry.models().models if all(word in name.lower() for word in words))
        return tuple(Hit(RepoId(RepoType.MODEL, name), OWN) for name in names)[: query.limit]

    def measure(self, hit: Hit) -> Hit:
        """See `Searcher.measure`. Which version is meant is for who pulls to say."""
        return hit


def search(settings: Settings, query: Query, emit: Emit, *, measure: bool) -> tuple[Row, ...]:
    """Search at the root and the mirrors that are believed, and in the registry of one's own. Writes nothing.

    Raises UsageError when no server may be asked, or no site of the settings can search, and what `search.search` does.
    """
    if settings.offline:
        raise UsageError(
            f"a search needs the network, and {settings.origins['offline']} says offline",
            hint="for what is here: glm-aria cache ls",
        )
    with _net(settings) as net:
        return find(query, tuple(_searchers(settings, net)), settings.aliases, measure=measure, emit=emit)


def _searchers(settings: Settings, net: Net) -> Iterator[tuple[Searcher, ...]]:
    believed = [source for source in (settings.root, *settings.mirrors) if source.is_believed]
    for kind, speaker in SEARCHERS.items():
        if of_kind := tuple(speaker(source, net) for source in believed if source.kind is kind):
            yield of_kind
    own = with_own_registry(settings, known_state(settings))
    if own.registry_url is not None:
        yield (RegistrySearcher(Source(OWN.name, own.registry_url, OWN), RegistryServices(own)),)


@contextmanager
def _net(settings: Settings) -> Iterator[Net]:
    """A way to the sites for somebody who waits at a terminal: each is tried twice, and given up if it is not there."""
    limits = Limits(
        connect=settings.etag_timeout,
        read=settings.download_timeout,
        deadline=30,
        attempts=2,
        unreachable=1,
        body=_MOST_BYTES,
    )
    with (
        open_lookup(settings, known_state(settings), keep=False) as lookup,
        Net(
            Credentials(settings.token, settings.token_hosts),
            limits=limits,
            proxies=proxies_of(settings),
            ca_bundle=settings.ca_bundle,
            lookup=lookup,
        ) as net,
    ):
        yield net
