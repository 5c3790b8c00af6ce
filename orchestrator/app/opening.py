"""The cache, its sources and the sites to ask, opened together for a call; and what moves its bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.app.compose import mover_of, open_cache, open_shared, open_sources, sites_of
from orchestrator.app.registry.own_server import with_own_registry
from orchestrator.cache.cache import Cache
from orchestrator.catalogs.sites import Sites
from orchestrator.depot.mover import Mover
from orchestrator.errors import UsageError
from orchestrator.events import Emit, ignore
from orchestrator.mirrors.sources import Sources
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop

if TYPE_CHECKING:
    from orchestrator.shared.nodes import NodeUse


class OpenCall(NamedTuple):
    """The open resources of a call; each flow gets those that it names. `told` also informs the nodes of a shared
    cache."""

    cache: Cache
    sources: Sources
    sites: Sites
    told: Emit


@contextlib.contextmanager
def opened(
    settings: Settings, stop: Stop, emit: Emit | None = None, *, create: bool = True, hasty: bool = False
) -> Iterator[OpenCall]:
    """Open the cache and its sources. With `emit` the other nodes of a shared cache are asked who fetches what."""
    shared_by = open_shared(settings, emit) if emit else contextlib.nullcontext()
    with (
        shared_by as shared,
        open_cache(settings, create=create, shared=shared) as cache,
        open_sources(
            with_own_registry(settings, cache.state_dir), cache.state_dir, stop, keep=create, hasty=hasty
        ) as sources,
    ):
        told = shared.telling(emit) if shared and emit else emit or ignore
        yield OpenCall(cache, sources, sites_of(settings, sources, stop), told)


@contextlib.contextmanager
def moving(settings: Settings, cache: Cache, stop: Stop, emit: Emit) -> Iterator[Mover]:
    """The mover of a run, in company where the settings say so. Raises as `company` does."""
    if settings.offline or not (settings.fleet_lan or settings.fleet_peers):
        yield mover_of(settings)
        return
    from orchestrator.app.peers.company import company  # loads a server, which a run alone does not need

    with company(settings, cache, stop, emit) as found:
        yield replace(mover_of(settings), company=found)


def uses_of_nodes(settings: Settings) -> tuple[NodeUse, ...]:
    """Models that nodes of a shared cache use. Raises UsageError without a Redis, TemporaryError if it is down."""
    from orchestrator.shared.nodes import uses

    with open_shared(settings, ignore) as shared:
        if shared is None:
            raise UsageError(
                "--nodes needs the shared Redis, and none is set", hint="GLM_ARIA_SHARED_REDIS, or [shared] redis"
            )
        return uses(shared.line)
