"""Settings become the rooms of a run, and the rooms a call of a flow. The only module that knows all of them."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING
from urllib.request import getproxies

from orchestrator import __version__
from orchestrator.aria2.interface import Endpoint, Limits
from orchestrator.catalogs.git_objects import GitReader
from orchestrator.catalogs.huggingface import HuggingFaceCatalog
from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.modelscope import ModelScopeCatalog
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.measurements import Memory
from orchestrator.core.plan import Plan
from orchestrator.core.proxies import Proxies, parse_proxy
from orchestrator.core.refs import CatalogKind, Ref, Target
from orchestrator.core.resolvers import PORT, NameServer, ordered
from orchestrator.core.sources import Source
from orchestrator.core.trust import Policy
from orchestrator.errors import ConfigError, GlmAriaError, Interrupted, UsageError
from orchestrator.events import Emit, Event, ignore
from orchestrator.flows import pull as flow
from orchestrator.flows.report import ModelReport, PullReport
from orchestrator.flows.request import PullRequest
from orchestrator.flows.tools import Daemon, Stop, Tools
from orchestrator.mirrors.links import file_url
from orchestrator.net.answers import Limits as NetLimits
from orchestrator.net.credentials import Credentials
from orchestrator.net.resolving import Lookup, Resolver
from orchestrator.net.session import Net
from orchestrator.settings import DEFAULT_MIRRORS, Settings
from orchestrator.store.hf_cache import HfCache
from orchestrator.store.layout import CacheLayout
from orchestrator.store.leases import Leases
from orchestrator.store.proofs import Proofs
from orchestrator.store.records import Records
from orchestrator.store.sources import SourceMemory
from orchestrator.store.staging import Staging
from orchestrator.store.state_dir import open_state_dir

if TYPE_CHECKING:
    from orchestrator.cli.hook import Hook
    from orchestrator.core.history import Past
    from orchestrator.core.tuning import Change
    from orchestrator.flows.collect import Collected
    from orchestrator.flows.contents import Contents
    from orchestrator.flows.doctor import Diagnosis
    from orchestrator.flows.importing import ImportReport, ImportRequest
    from orchestrator.flows.probing import Survey
    from orchestrator.flows.request import Item
    from orchestrator.flows.share import LinkReport
    from orchestrator.flows.verify import VerifyReport, VerifyRequest
    from orchestrator.flows.watch import Read, WatchReport, WatchRequest
    from orchestrator.mirrors.probe import Bounds
    from orchestrator.store.garbage import Rules
    from orchestrator.store.nodes import Nodes, NodeUse
    from orchestrator.store.shared_redis import SharedRedis
    from orchestrator.store.watchstate import WatchState


def run_pull(settings: Settings, request: PullRequest, emit: Emit, hook: Hook | None = None) -> PullReport:
    """Pull; SIGINT and SIGTERM stop it in good order, a second one at once."""
    with _stoppable() as stop, _shared(settings, emit) as shared, _tools(settings, stop, shared=shared) as tools:
        told = shared.telling(emit) if shared else emit
        report = flow.pull(request, tools, hook.watching(told, stop) if hook else told)
        _sweep(tools)
        _note_history(settings, report)
        return report


@dataclass(frozen=True, slots=True)
class Watched:
    """What to watch: the list's path, how to read it, how to pull some of its models, what to run at a flip."""

    path: Path
    read: Read
    to_request: Callable[[tuple[Item, ...]], PullRequest]
    hook: Hook | None = None


def run_watch(settings: Settings, wanted: Watched, request: WatchRequest, emit: Emit) -> WatchReport:
    """Keep the cache equal to the list; stops as a pull does. Each pull has rooms of its own, which end with it."""
    from orchestrator.flows.watch import Ports, watch
    from orchestrator.store.pins import Pins
    from orchestrator.store.watchstate import WatchFile

    # A list that is wrong is told of before anything is written.
    wanted.read()
    state = open_state_dir(CacheLayout.at(settings.cache_dir))
    with _stoppable() as stop:

        def pull(items: tuple[Item, ...], turn: Stop, tell: Emit) -> PullReport:
            with _shared(settings, emit) as shared, _tools(settings, turn, shared=shared) as tools:
                report = flow.pull(wanted.to_request(items), tools, shared.telling(tell) if shared else tell)
                _sweep(tools)
                _note_history(settings, report)
                return report

        ports = Ports(wanted.read, pull, Pins(state), WatchFile(state, wanted.path))
        return watch(request, ports, stop, wanted.hook.watching(emit, stop) if wanted.hook else emit)


def watched(settings: Settings, path: Path | None) -> tuple[WatchState, ...]:
    """How the watch of a list goes, or without a path of all of this cache; writes nothing."""
    from orchestrator.store import watchstate

    state = open_state_dir(CacheLayout.at(settings.cache_dir), create=False)
    return watchstate.watched(state) if path is None else (watchstate.WatchFile(state, path).load(),)


def node_uses(settings: Settings) -> tuple[NodeUse, ...]:
    """What the nodes of a shared cache use. Raises UsageError without a Redis, TemporaryError when it is down."""
    from orchestrator.store.nodes import uses

    with _shared(settings, ignore) as shared:
        if shared is None:
            raise UsageError(
                "--nodes asks the shared Redis, and there is none", hint="GLM_ARIA_SHARED_REDIS, or [shared] redis"
            )
        return uses(shared.line)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What a run has of a Redis that it shares with other nodes."""

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
def _shared(settings: Settings, emit: Emit) -> Iterator[_Shared | None]:
    if settings.shared_redis is None:
        yield None
        return
    from orchestrator.store.nodes import Nodes
    from orchestrator.store.shared_redis import SharedRedis, scope_of

    # Before anything is written: a client that is not installed is a mistake to be told of first.
    line = SharedRedis(settings.shared_redis, emit)
    line.scope = scope_of(open_state_dir(CacheLayout.at(settings.cache_dir)))
    with contextlib.closing(line), contextlib.closing(Nodes(line)) as nodes:
        yield _Shared(line, Leases(line), nodes)


def run_plan(settings: Settings, request: PullRequest, emit: Emit) -> tuple[Plan, tuple[ModelReport, ...]]:
    """Plan; writes nothing, not even folders."""
    with _stoppable() as stop, _tools(settings, stop, create=False) as tools:
        return flow.plan(request, tools, emit)


def run_verify(settings: Settings, request: VerifyRequest, emit: Emit) -> VerifyReport:
    """Read the cache again, and on demand repair it; stops as a pull does."""
    from orchestrator.flows.verify import verify

    is_there = settings.cache_dir.exists()
    shared_by = _shared(settings, emit) if request.repair and is_there else contextlib.nullcontext()
    with _stoppable() as stop, shared_by as shared, _tools(settings, stop, create=is_there, shared=shared) as tools:
        return verify(request, tools, emit)


def run_collect(settings: Settings, rules: Rules, *, act: bool) -> Collected:
    """Choose what goes from the cache, and with `act` remove it."""
    from orchestrator.flows.collect import collect

    with _stoppable() as stop, _tools(settings, stop, create=act and settings.cache_dir.exists()) as tools:
        return collect(rules, tools, act=act)


def link(settings: Settings, target: Target, folder: Path, layout: str, mode: str, *, force: bool) -> LinkReport:
    """Make a project folder of a model in the cache."""
    from orchestrator import templating
    from orchestrator.core.layouts import parse_layouts
    from orchestrator.flows import share
    from orchestrator.store.linking import Mode

    layouts = parse_layouts(templating.read("layouts.toml"))
    request = share.LinkRequest(target, folder, layouts[layout], Mode(mode), force)
    with _stoppable() as stop, _tools(settings, stop, create=settings.cache_dir.exists()) as tools:
        return share.link(request, tools)


def run_import(settings: Settings, request: ImportRequest, emit: Emit) -> ImportReport:
    """Take files of a folder into the cache; a dry run writes nothing."""
    from orchestrator.flows.importing import take

    with _stoppable() as stop, _tools(settings, stop, create=not request.dry_run) as tools:
        return take(request, tools, emit)


def look(settings: Settings) -> Contents:
    """What the cache holds; writes nothing."""
    from orchestrator.flows.contents import contents

    with _stoppable() as stop, _tools(settings, stop, create=False) as tools:
        return contents(tools)


def pin(settings: Settings, targets: Sequence[Target], *, keep: bool) -> frozenset[Target]:
    """Pin, or let go of, models; returns all that are pinned then."""
    from orchestrator.store.pins import Pins

    pins = Pins(open_state_dir(CacheLayout.at(settings.cache_dir)))
    if keep:
        pins.add(targets)
    else:
        pins.remove(targets)
    return pins.load()


def fetch_url(
    settings: Settings, url: str, digest: Digest, folder: Path, emit: Emit, *, force: bool = False
) -> PullReport:
    """Fetch a single file by its address."""
    from orchestrator.flows.single import fetch_single

    with _stoppable() as stop, _shared(settings, emit) as shared, _tools(settings, stop, shared=shared) as tools:
        report = fetch_single(url, digest, folder, tools, emit, force=force)
        _sweep(tools)
        return report


def _sweep(tools: Tools) -> None:
    """Remove what killed runs left. A run that is done is not failed by litter that cannot be removed."""
    with contextlib.suppress(GlmAriaError):
        tools.staging.sweep()
    runtime = runtime_folder()
    names = [path.name for path in runtime.iterdir()] if runtime.is_dir() else ["none"]
    if not names or any(name.startswith("run-") for name in names):
        from orchestrator.aria2.daemon import sweep  # loads aria2p, which a complete model does not need

        sweep(runtime)


def probe_mirrors(settings: Settings, ref: Ref | None, bounds: Bounds) -> Survey:
    """Probe the root and the mirrors, with a file of `ref` where there is one; what was measured is remembered."""
    from orchestrator.flows.probing import survey

    with _stoppable() as stop, _tools(settings, stop, hasty=True) as tools:
        return survey(ref, tools, bounds)


def examine(settings: Settings, ref: Ref | None, compared: Sequence[NameServer]) -> Diagnosis:
    """Measure everything that may make a download slow; what was measured of sources is remembered."""
    from orchestrator.flows.doctor import DoctorRequest
    from orchestrator.flows.doctor import examine as flow_examine
    from orchestrator.store.figures import keep_figures

    credentials = Credentials(settings.token, settings.token_hosts)
    layout = CacheLayout.at(settings.cache_dir)
    with contextlib.suppress(GlmAriaError):  # a disk that takes nothing is among what is looked for
        open_state_dir(layout)
    state = open_state_dir(layout, create=False)
    with (
        _stoppable() as stop,
        _tools(settings, stop, create=state.is_dir(), hasty=True) as tools,
        _lookup(settings, state, keep=False) as lookup,
        Net(
            credentials,
            limits=NetLimits(connect=2, read=2, deadline=3, attempts=1),
            ca_bundle=settings.ca_bundle,
            lookup=lookup,
        ) as direct,
    ):
        request = DoctorRequest(
            ref=ref,
            connections=settings.connections_per_mirror,
            budget=settings.connection_budget,
            max_speed=settings.max_speed,
            is_offline=settings.offline,
            resolvers=settings.dns_resolvers,
            compared=tuple(compared),
            lookup=lookup,
            known_mirrors=DEFAULT_MIRRORS,
            roomy=tuple(Path(name) for name in (Path.home(), "/data", "/mnt", "/srv", "/var/tmp")),  # noqa: S108
        )
        found = flow_examine(request, tools, direct)
        if state.is_dir():
            with contextlib.suppress(GlmAriaError):
                keep_figures(state, found.facts.sources)
        return found


def _note_history(settings: Settings, report: PullReport) -> None:
    """Add the pull to the history. A pull that is done is not failed by a history that cannot be written."""
    from orchestrator.flows.past import entries_of
    from orchestrator.store.history import History

    entries = entries_of(report, time.time())
    if entries:
        with contextlib.suppress(GlmAriaError):
            History(open_state_dir(CacheLayout.at(settings.cache_dir))).add(entries)


def past_pulls(settings: Settings) -> tuple[Past, ...]:
    """The pulls that are remembered, the oldest first. Writes nothing."""
    from orchestrator.store.history import History

    return History(open_state_dir(CacheLayout.at(settings.cache_dir), create=False)).read()


def tuning(settings: Settings) -> tuple[Change, ...]:
    """What the figures of the last doctor, of probes and pulls say about the settings. Asks nobody."""
    from orchestrator.core.tuning import Current, suggest
    from orchestrator.store.figures import read_figures

    state = open_state_dir(CacheLayout.at(settings.cache_dir), create=False)
    current = Current(
        settings.connections_per_mirror,
        settings.connection_budget,
        settings.jobs,
        settings.etag_timeout,
        settings.download_timeout,
        settings.mirrors,
        settings.root,
    )
    return suggest(current, _memory(settings).read(), read_figures(state), past_pulls(settings))


def known_mirrors(settings: Settings) -> tuple[tuple[Source, ...], Memory]:
    """The root and the mirrors, and what is remembered. Asks nobody, writes nothing."""
    return (settings.root, *settings.mirrors), _memory(settings).read()


def forgive_mirror(settings: Settings, name: str) -> tuple[str, ...]:
    """Release a source from quarantine; the addresses that had this name or were this one."""
    return _memory(settings).forgive(name)


def _memory(settings: Settings) -> SourceMemory:
    return SourceMemory(open_state_dir(CacheLayout.at(settings.cache_dir), create=False))


def write_aria2_input(settings: Settings, plan: Plan, path: Path) -> None:
    """Write an input file for plain `aria2c -i` that fetches the plan's jobs into folders beside it."""
    from orchestrator.store.writing import write_file
    from orchestrator.templating import render

    entries = [
        {
            "uris": [file_url(source, job.origins[0]) for source in _sources(settings, job.origins[0].kind)],
            "dir": f"{path.stem}.d/{job.origins[0].repo.folder}",
            "out": job.name,
            "sha256": job.digest.hex if job.digest.algorithm is Algorithm.SHA256 else None,
        }
        for job in plan.jobs
    ]
    models = [f"{model.model.ref} = {model.model.commit}" for model in plan.models]
    write_file(path, render("aria2.input", version=__version__, models=models, entries=entries), path.parent)


@contextlib.contextmanager
def _tools(
    settings: Settings, stop: Stop, *, create: bool = True, hasty: bool = False, shared: _Shared | None = None
) -> Iterator[Tools]:
    """The rooms of a run. With `hasty` the roots are not waited for either."""
    layout = CacheLayout.at(settings.cache_dir)
    state = open_state_dir(layout, create=create)
    credentials = Credentials(settings.token, settings.token_hosts)
    # Where mirrors may speak for a root that is not there, it is not knocked at for long.
    has_stand_in = settings.policy in (Policy.ANY, Policy.AGREE) and bool(settings.mirrors)
    patience = NetLimits(
        connect=settings.etag_timeout, read=settings.download_timeout, unreachable=2 if has_stand_in else 5
    )
    # A mirror is a help, never a need: one that does not answer at once is done without.
    haste = NetLimits(connect=3, read=4, deadline=5, attempts=1)
    leases = shared.leases if shared else None
    staging = Staging(state, leases)
    proxies = proxies_of(settings)
    with (
        _lookup(settings, state, keep=create) as lookup,
        Net(
            credentials,
            limits=haste if hasty else patience,
            proxies=proxies,
            ca_bundle=settings.ca_bundle,
            lookup=lookup,
            sleep=stop.wait,
        ) as net,
        Net(credentials, limits=haste, proxies=proxies, ca_bundle=settings.ca_bundle, lookup=lookup) as mirror_net,
        contextlib.closing(staging),
    ):
        roots = {kind: _sources(settings, kind)[:1] for kind in CatalogKind}
        makers: dict[CatalogKind, Callable[[Source, Net], Catalog]] = {
            CatalogKind.HUGGINGFACE: HuggingFaceCatalog,
            CatalogKind.MODELSCOPE: ModelScopeCatalog,
        }
        catalogs: dict[CatalogKind, Catalog] = {
            kind: makers[kind](source, net) for kind, found in roots.items() for source in found
        }
        mirror_catalogs = tuple(makers[mirror.kind](mirror, mirror_net) for mirror in settings.mirrors)
        sources = tuple(source for kind in CatalogKind for source in _sources(settings, kind))
        yield Tools(
            catalogs=catalogs,
            mirror_catalogs=mirror_catalogs,
            git=GitReader(mirror_net, is_stopped=stop.is_set),
            sources=sources,
            net=net,
            mirror_net=mirror_net,
            cache=HfCache(
                layout,
                Proofs(state, layout.cache_dir),
                use_symlinks=not settings.disable_symlinks,
                may_place=leases.may_place if leases else lambda _digest: True,
            ),
            records=Records(state),
            memory=SourceMemory(state),
            staging=staging,
            daemon=lambda: _daemon(settings),
            limits=Limits(
                connections_per_mirror=settings.connections_per_mirror,
                budget=settings.connection_budget,
                jobs=settings.jobs,
                max_speed=settings.max_speed if settings.rpc else None,
            ),
            stop=stop,
            # An aria2 of the user's has proxies of its own, which only settings overrule.
            proxies=replace(proxies, environment=None) if settings.rpc else proxies,
            ca_bundle=settings.ca_bundle,
            aliases=settings.aliases,
        )


@contextlib.contextmanager
def _lookup(settings: Settings, state: Path, *, keep: bool) -> Iterator[Lookup | None]:
    """How names are looked up; None for the system's way. With `keep`, what was learned of resolvers is remembered."""
    if not settings.dns_resolvers:
        yield None
        return
    from orchestrator.store.resolvers import keep_standings, read_standings

    resolver = Resolver(settings.dns_resolvers, read_standings(state))
    try:
        yield resolver.lookup
    finally:
        if keep:
            with contextlib.suppress(GlmAriaError):
                keep_standings(state, resolver.learned)


def _resolvers_for_aria2(settings: Settings) -> tuple[str, ...]:
    """The best one first. aria2 cannot ask another port than 53."""
    from orchestrator.store.resolvers import read_standings

    state = open_state_dir(CacheLayout.at(settings.cache_dir), create=False)
    order = ordered(settings.dns_resolvers, read_standings(state), time.time())
    return tuple(server.address for server in order if server.port == PORT)


def _sources(settings: Settings, kind: CatalogKind) -> tuple[Source, ...]:
    """All sources of a kind, the one that is asked for listings first."""
    known = (settings.root, *settings.mirrors)
    of_kind = tuple(source for source in known if source.kind is kind)
    return of_kind or tuple(source for source in DEFAULT_MIRRORS if source.kind is kind)


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
    from orchestrator.aria2.theirs import RunningDaemon

    if settings.rpc:
        return RunningDaemon(Endpoint(settings.rpc, _secret(settings.rpc_secret_file)))
    # The background daemon serves several runs, so a limit on one of them is kept by a daemon of its own.
    # So are resolvers, which aria2 knows for a whole daemon only.
    is_private = settings.max_speed or settings.dns_resolvers
    running = None if is_private else BackgroundDaemon(runtime_folder()).find()
    if running and _believes(running[1], bundle_for_aria2(settings)):
        return RunningDaemon(running[1])
    return PrivateDaemon(
        runtime_folder(),
        concurrency=settings.connection_budget,
        max_speed=settings.max_speed or 0,
        resolvers=_resolvers_for_aria2(settings) if settings.dns_resolvers else (),
        ca_bundle=bundle_for_aria2(settings),
    )


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


def runtime_folder() -> Path:
    """Where daemons keep their configuration and state: private to the user, gone after a reboot.

    $XDG_RUNTIME_DIR where the system gives one. Elsewhere a folder of the user's own name directly below the
    temporary folder, whose sticky bit keeps others from exchanging it.
    """
    given = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    if Path(given).is_dir() and os.access(given, os.W_OK):
        return Path(given) / "glm-aria"
    return Path(tempfile.gettempdir()) / f"glm-aria-{os.getuid()}"


def _secret(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the RPC secret cannot be read from {path}: {error}", hint="--rpc-secret-file FILE"
        ) from error


@contextlib.contextmanager
def _stoppable() -> Iterator[Stop]:
    """A Stop that SIGINT and SIGTERM set. The second signal finds the old handler and ends the process."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _frame: FrameType | None) -> None:
        stop.signal_number = number
        stop.set()
        for known, handler in before.items():
            signal.signal(known, handler)
        if stop.is_abrupt:
            raise Interrupted(number)

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
