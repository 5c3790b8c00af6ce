"""Settings become what a flow works with: a cache, sources, sites, and how bytes move."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.cache.cache import Cache
from orchestrator.cache.claims import ALONE
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.staging import Staging
from orchestrator.cache.state_dir import find_state_dir, open_state_dir
from orchestrator.catalogs.git_objects import GitReader
from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.oci import OciCatalog, signatures_at
from orchestrator.catalogs.sites import Sites
from orchestrator.catalogs.speakers import catalog_at, pointer_at
from orchestrator.core.dialects import Dialect, dialects
from orchestrator.core.network.proxies import Proxies, parse_proxy
from orchestrator.core.network.resolvers import PORT, ordered
from orchestrator.core.sources import Source
from orchestrator.core.trust import Policy
from orchestrator.depot.mover import Daemon, Mover
from orchestrator.disk.places import home
from orchestrator.disk.private import PrivateFolder, runtime_folder, runtime_folders
from orchestrator.errors import ConfigError, GlmAriaError
from orchestrator.events import Emit, Event
from orchestrator.mirrors.gate import LoopbackGate
from orchestrator.mirrors.sources import Sources
from orchestrator.mirrors.stats import SourceStats
from orchestrator.net.answers import Limits as NetLimits
from orchestrator.net.credentials import Credentials
from orchestrator.net.lookup.dns import Lookup, Resolver
from orchestrator.net.session import Net
from orchestrator.oci.login import Login, Logins
from orchestrator.oci.logins import files_of_others, of_environment, own_file, read_logins
from orchestrator.oci.registries import Registries
from orchestrator.settings import Settings, default_mirrors
from orchestrator.shared.leases import Leases
from orchestrator.system.signals import Stop
from orchestrator.system.small_files import SETTINGS_BYTES, read_named
from orchestrator.transfer.limits import TransferLimits
from orchestrator.transfer.pace.manners import window

if TYPE_CHECKING:
    from orchestrator.shared.nodes import Nodes
    from orchestrator.shared.redis import SharedRedis


def state_of(settings: Settings) -> Path:
    """The state folder of a cache that will be written to, as `open_state_dir` gives it."""
    return open_state_dir(CacheLayout.at(settings.cache_dir))


def known_state(settings: Settings, *, create: bool = False) -> Path:
    """The state folder for who reads the cache, as `find_state_dir` gives it."""
    return find_state_dir(CacheLayout.at(settings.cache_dir), create=create)


@contextlib.contextmanager
def open_cache(settings: Settings, *, create: bool = True, shared: Shared | None = None) -> Iterator[Cache]:
    """The cache of a run, which need not be writable. With `create` the state folder is made; else nothing is written.

    `shared` is asked who writes a blob, beside the locks of this machine.
    """
    layout = CacheLayout.at(settings.cache_dir)
    state = find_state_dir(layout, create=create)
    owners = shared.leases if shared else ALONE
    with Cache.open(layout, state, owners=owners, use_symlinks=not settings.disable_symlinks) as cache:
        yield cache


@contextlib.contextmanager
def open_sources(
    settings: Settings, state: Path, stop: Stop, *, keep: bool = True, hasty: bool = False
) -> Iterator[Sources]:
    """The sources of a run. With `hasty` the roots are not waited for either.

    With `keep`, what was learned of resolvers is remembered in `state`.
    """
    # If mirrors may stand in for the root, give up on an unreachable root quickly.
    has_stand_in = settings.policy is not Policy.ROOT and bool(settings.mirrors)
    patience = NetLimits(
        connect=settings.etag_timeout, read=settings.download_timeout, unreachable=2 if has_stand_in else 5
    )
    # Mirrors are optional: skip one that does not answer at once.
    haste = NetLimits(connect=3, read=4, deadline=5, attempts=1)
    credentials = Credentials(settings.token, settings.token_hosts)
    proxies = proxies_of(settings)
    with open_lookup(settings, state, keep=keep) as lookup:
        make = partial(Net, credentials, proxies=proxies, ca_bundle=settings.ca_bundle, lookup=lookup)
        with (
            make(limits=haste if hasty else patience, sleep=stop.wait) as patient,
            make(limits=haste) as quick,
            LoopbackGate() as gate,
        ):
            known = {kind: sources_of(settings, kind) for kind in dialects()}
            yield Sources(
                tuple(source for kind, found in known.items() if not kind.has_no_files for source in found),
                # Who is not believed lists nothing, not even of a kind that nobody else speaks.
                {kind: found[0] for kind, found in known.items() if found and found[0].is_believed},
                SourceStats(state),
                patient,
                quick,
                Registries(patient, cache(partial(logins_of, settings))),
                gate,
            )


def logins_of(settings: Settings) -> Logins:
    """The user's logins at registries, and at the servers that name models in them."""
    known = {**of_environment(os.environ, settings.mlflow_url)}
    if settings.registry_url and settings.registry_token:
        known[urlsplit(settings.registry_url).netloc.lower()] = Login("token", settings.registry_token)
    own = own_file()
    files = (*((own,) if own else ()), *files_of_others(home(), os.environ))
    return {**read_logins(files), **known}


def sites_of(settings: Settings, sources: Sources, stop: Stop) -> Sites:
    """The catalogs of a run: the roots are asked patiently, mirrors hastily."""
    known: dict[Source, OciCatalog] = {}

    def at(site: Source) -> OciCatalog:
        return known.setdefault(site, OciCatalog(site, sources.registries, settings.registry_hub_namespaces))

    def root(source: Source) -> Catalog:
        if source.kind.has_no_files:
            return pointer_at(source, sources.patient, sources.registries, lambda ref: sites.of(ref))  # noqa: PLW0108 - made below
        return catalog_at(source, sources.patient)

    sites = Sites(
        {kind: root(source) for kind, source in sources.roots.items()},
        tuple(catalog_at(mirror, sources.hasty) for mirror in settings.mirrors),
        GitReader(sources.hasty, is_stopped=stop.is_set),
        settings.aliases,
        sources.patient.credentials,
        at,
        partial(signatures_at, sources.registries),
    )
    return sites


def limits_of(settings: Settings) -> TransferLimits:
    """The limits of a run's bytes."""
    return TransferLimits(
        connections_per_mirror=settings.connections_per_mirror,
        budget=settings.connection_budget,
        jobs=settings.jobs,
        max_speed=settings.max_speed,
        is_polite=settings.polite,
    )


def mover_of(settings: Settings) -> Mover:
    """The mover of a run's bytes; starts no daemon."""
    proxies = proxies_of(settings)
    return Mover(
        lambda: _daemon(settings),
        limits_of(settings),
        # An aria2 of the user's has proxies of its own, which only settings overrule.
        replace(proxies, environment=None) if settings.rpc else proxies,
        settings.ca_bundle,
    )


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts of a Redis that a run shares with other nodes."""

    line: SharedRedis
    leases: Leases
    nodes: Nodes

    def telling(self, emit: Emit) -> Emit:
        """An `Emit` that tells the other nodes, too."""

        def take(event: Event) -> None:
            emit(event)
            self.nodes.observe(event)

        return take


@contextlib.contextmanager
def open_shared(settings: Settings, emit: Emit) -> Iterator[Shared | None]:
    if settings.shared_redis is None:
        yield None
        return
    from orchestrator.shared.nodes import Nodes
    from orchestrator.shared.redis import SharedRedis, scope_of

    # Before anything is written: report a missing client first.
    line = SharedRedis(settings.shared_redis, emit)
    line.scope = scope_of(known_state(settings, create=True))
    with (
        contextlib.closing(line),
        contextlib.closing(Nodes(line)) as nodes,
        contextlib.closing(Leases(line)) as leases,
    ):
        yield Shared(line, leases, nodes)


@contextlib.contextmanager
def open_lookup(settings: Settings, state: Path, *, keep: bool) -> Iterator[Lookup | None]:
    """The name lookup; None for the system's resolver. `keep` remembers measurements of resolvers."""
    if not settings.dns_resolvers:
        yield None
        return
    from orchestrator.net.lookup.resolver_health import keep_standings, read_standings

    resolver = Resolver(settings.dns_resolvers, read_standings(state))
    try:
        yield resolver.lookup
    finally:
        if keep:
            with contextlib.suppress(GlmAriaError):
                keep_standings(state, resolver.learned)


@contextlib.contextmanager
def open_direct(settings: Settings, lookup: Lookup | None) -> Iterator[Net]:
    """A net for measuring the way past the proxy: it takes none, and gives up soon."""
    credentials = Credentials(settings.token, settings.token_hosts)
    limits = NetLimits(connect=2, read=2, deadline=3, attempts=1)
    with Net(credentials, limits=limits, ca_bundle=settings.ca_bundle, lookup=lookup) as net:
        yield net


def sources_of(settings: Settings, kind: Dialect) -> tuple[Source, ...]:
    """All sources of a kind, the one that is asked for listings first; those that only carry bytes come last."""
    if kind.setting:
        url = getattr(settings, kind.setting)
        return (Source(kind.name, url, kind),) if url else ()
    known = (settings.root, *settings.mirrors)
    believed = tuple(source for source in known if source.kind is kind and source.is_believed)
    carriers = tuple(source for source in known if source.kind is kind and not source.is_believed)
    return (believed or tuple(source for source in default_mirrors() if source.kind is kind)) + carriers


def proxies_of(settings: Settings) -> Proxies:
    """The proxies of the settings, and those that the environment (or the system, on macOS) has beside them."""
    origins = settings.origins
    given = {url: (text, origins["mirror_proxies"]) for url, text in settings.mirror_proxies.items()}
    for site, text, name in ((settings.root.url, settings.root_proxy, "root_proxy"), ("", settings.proxy, "proxy")):
        if text is not None:
            given[site] = (text, origins[name])
    sites = {site: parse_proxy(text, origin) for site, (text, origin) in given.items()}
    return Proxies(sites, getproxies(), settings.no_proxy)


def _daemon(settings: Settings) -> Daemon:
    from orchestrator.aria2.daemon import BackgroundDaemon, PrivateDaemon
    from orchestrator.aria2.running import RunningDaemon

    if settings.rpc:
        return RunningDaemon(Endpoint(settings.rpc, _secret(settings.rpc_secret_file), ca_bundle=settings.ca_bundle))
    # The background daemon serves several runs, so a limit on one of them is kept by a daemon of its own.
    # So are resolvers and windows, which aria2 knows for a whole daemon only.
    is_private = settings.max_speed or settings.polite or settings.dns_resolvers
    runtime = runtime_of(settings)
    running = (
        None if is_private else BackgroundDaemon(runtime, lambda: runtime_folders(lambda: state_of(settings))).find()
    )
    if running and _believes(running[1], bundle_for_aria2(settings)):
        return RunningDaemon(running[1])
    return PrivateDaemon(
        runtime,
        concurrency=limits_of(settings).most,
        max_speed=settings.top_speed or 0,
        receive_buffer=window(settings.top_speed, is_polite=settings.polite, known=_known_to_hold(settings)),
        resolvers=_resolvers_for_aria2(settings) if settings.dns_resolvers else (),
        ca_bundle=bundle_for_aria2(settings),
    )


def _known_to_hold(settings: Settings) -> float:
    """Bytes that the line to the best source holds, as far as they are remembered."""
    stats = SourceStats(known_state(settings)).read()
    known = [stats.of(source) for source in (settings.root, *settings.mirrors)]
    return max((one.rate * one.latency for one in known if one.rate and one.latency), default=0.0)


def _believes(endpoint: Endpoint, ca_bundle: Path | None) -> bool:
    """True when a daemon was started with the certificates that this run shall believe, if it names any."""
    if ca_bundle is None:
        return True
    from orchestrator.aria2.rpc import Rpc

    rpc = Rpc(endpoint)
    try:
        return rpc.ca_certificate() == str(ca_bundle)
    finally:
        rpc.close()


def bundle_for_aria2(settings: Settings) -> Path | None:
    """The certificates for an aria2c of ours. It reads no folder of them, and then believes the system's."""
    return settings.ca_bundle if settings.ca_bundle and settings.ca_bundle.is_file() else None


def _resolvers_for_aria2(settings: Settings) -> tuple[str, ...]:
    """The best one first. aria2 cannot ask another port than 53."""
    from orchestrator.net.lookup.resolver_health import read_standings

    state = known_state(settings)
    order = ordered(settings.dns_resolvers, read_standings(state), time.time())
    return tuple(server.address for server in order if server.port == PORT)


def runtime_of(settings: Settings) -> Path:
    """The runtime folder, as `disk.private` chooses it."""
    return runtime_folder(lambda: state_of(settings))


def _secret(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return read_named(path, SETTINGS_BYTES).decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the RPC secret cannot be read from {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}",
            hint="--rpc-secret-file names a file that holds the secret and nothing else",
        ) from error


def sweep(staging: Staging) -> None:
    """Remove what killed runs left. A run that is done is not failed by litter that cannot be removed."""
    with contextlib.suppress(GlmAriaError):
        staging.sweep()
    runtime = runtime_folder(lambda: staging.folder.parent)
    folder = PrivateFolder.find(runtime)
    if folder is None:
        return
    with folder:
        names = folder.names()
    if not names or any(name.startswith("run-") for name in names):
        from orchestrator.aria2 import daemon  # loads aria2p, which a complete model does not need

        daemon.sweep(runtime)
