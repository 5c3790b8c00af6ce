"""One call for each command: settings and a request become rooms (`app/compose.py`), and these a call of a flow."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import __version__
from orchestrator.app.compose import (
    known_state,
    mover_of,
    open_cache,
    open_lookup,
    open_shared,
    open_sources,
    sites_of,
    sources_of,
    state_of,
)
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.staging import Staging
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Plan
from orchestrator.core.refs import Ref, Target
from orchestrator.core.resolvers import NameServer
from orchestrator.core.sources import Source
from orchestrator.disk import places
from orchestrator.disk.private import PrivateFolder, runtime_folder
from orchestrator.errors import GlmAriaError, UsageError
from orchestrator.events import Emit, ignore
from orchestrator.lists.request import PullRequest
from orchestrator.mirrors.stats import SourceStats, Stats
from orchestrator.net.answers import Limits as NetLimits
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from orchestrator.pull import pull as flow
from orchestrator.pull.report import ModelReport, PullReport
from orchestrator.settings import Settings, default_mirrors
from orchestrator.system.signals import Stop, stoppable

if TYPE_CHECKING:
    from orchestrator.doctor.examine import Diagnosis
    from orchestrator.doctor.history import Past
    from orchestrator.doctor.survey import Survey
    from orchestrator.doctor.tuning import Change
    from orchestrator.folders.link import LinkReport
    from orchestrator.folders.take import ImportReport, ImportRequest
    from orchestrator.lists.request import Item
    from orchestrator.mirrors.probe import Bounds
    from orchestrator.swarm.nodes import NodeUse
    from orchestrator.upkeep.collect import Collected
    from orchestrator.upkeep.contents import Contents
    from orchestrator.upkeep.garbage import Rules
    from orchestrator.upkeep.verify import VerifyReport, VerifyRequest
    from orchestrator.watch.on_change import Hook
    from orchestrator.watch.state import WatchState
    from orchestrator.watch.watch import Read, WatchReport, WatchRequest


def run_pull(settings: Settings, request: PullRequest, emit: Emit, hook: Hook | None = None) -> PullReport:
    """Pull; SIGINT and SIGTERM stop it in good order, a second one at once."""
    with stoppable() as stop:
        return _pull(settings, request, stop, emit, hook)


def _pull(settings: Settings, request: PullRequest, stop: Stop, emit: Emit, hook: Hook | None = None) -> PullReport:
    with (
        open_shared(settings, emit) as shared,
        open_cache(settings, shared=shared) as cache,
        open_sources(settings, cache.state_dir, stop) as sources,
    ):
        told = shared.telling(emit) if shared else emit
        sites, mover = sites_of(settings, sources, stop), mover_of(settings)
        heard = hook.watching(told, stop) if hook else told
        report = flow.pull(request, sites, sources, cache, mover, stop=stop, emit=heard)
        _sweep(cache.staging)
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
    from orchestrator.cache.pins import Pins
    from orchestrator.watch.state import WatchFile
    from orchestrator.watch.watch import Ports, watch

    # A list that is wrong is told of before anything is written.
    wanted.read()
    state = state_of(settings)
    with stoppable() as stop:

        def pull(items: tuple[Item, ...], turn: Stop, tell: Emit) -> PullReport:
            return _pull(settings, wanted.to_request(items), turn, tell)

        ports = Ports(wanted.read, pull, Pins(CacheLayout.at(settings.cache_dir), state), WatchFile(state, wanted.path))
        return watch(request, ports, stop, wanted.hook.watching(emit, stop) if wanted.hook else emit)


def watched(settings: Settings, path: Path | None) -> tuple[WatchState, ...]:
    """How the watch of a list goes, or without a path of all of this cache; writes nothing."""
    from orchestrator.watch.state import WatchFile
    from orchestrator.watch.state import watched as watched_lists

    state = known_state(settings)
    return watched_lists(state) if path is None else (WatchFile(state, path).load(),)


def node_uses(settings: Settings) -> tuple[NodeUse, ...]:
    """What the nodes of a shared cache use. Raises UsageError without a Redis, TemporaryError when it is down."""
    from orchestrator.swarm.nodes import uses

    with open_shared(settings, ignore) as shared:
        if shared is None:
            raise UsageError(
                "--nodes asks the shared Redis, and there is none", hint="GLM_ARIA_SHARED_REDIS, or [shared] redis"
            )
        return uses(shared.line)


def run_plan(settings: Settings, request: PullRequest, emit: Emit) -> tuple[Plan, tuple[ModelReport, ...]]:
    """Plan; writes nothing, not even folders."""
    with (
        stoppable() as stop,
        open_cache(settings, create=False) as cache,
        open_sources(settings, cache.state_dir, stop, keep=False) as sources,
    ):
        return flow.plan(request, sites_of(settings, sources, stop), cache, stop=stop, emit=emit)


def run_verify(settings: Settings, request: VerifyRequest, emit: Emit, *, repair: bool) -> VerifyReport:
    """Read the cache again, and on demand repair it; stops as a pull does."""
    from orchestrator.upkeep.verify import verify

    is_there = settings.cache_dir.exists()
    if not repair or not is_there:
        with stoppable() as stop, open_cache(settings, create=is_there) as cache:
            return verify(request, cache, None, stop=stop, emit=emit)
    from orchestrator.upkeep.mend import mend

    with (
        open_shared(settings, emit) as shared,
        stoppable() as stop,
        open_cache(settings, shared=shared) as cache,
        open_sources(settings, cache.state_dir, stop) as sources,
    ):
        sites, mover = sites_of(settings, sources, stop), mover_of(settings)
        mending = partial(mend, sites=sites, sources=sources, cache=cache, mover=mover, stop=stop, emit=emit)
        return verify(request, cache, mending, stop=stop, emit=emit)


def run_collect(settings: Settings, rules: Rules, *, act: bool) -> Collected:
    """Choose what goes from the cache, and with `act` remove it."""
    from orchestrator.upkeep.collect import collect

    with stoppable(), open_cache(settings, create=act and settings.cache_dir.exists()) as cache:
        return collect(rules, cache, act=act)


def link(settings: Settings, target: Target, folder: Path, layout: str, mode: str, *, force: bool) -> LinkReport:
    """Make a project folder of a model in the cache."""
    from orchestrator import templating
    from orchestrator.disk.copies import Mode
    from orchestrator.folders import link
    from orchestrator.folders.layouts import parse_layouts

    layouts = parse_layouts(templating.read("layouts.toml"))
    request = link.LinkRequest(target, folder, layouts[layout], Mode(mode), force, settings.portable)
    with stoppable() as stop, open_cache(settings, create=settings.cache_dir.exists()) as cache:
        return link.link(request, cache, stop=stop)


def run_import(settings: Settings, request: ImportRequest, emit: Emit) -> ImportReport:
    """Take files of a folder into the cache; a dry run writes nothing."""
    from orchestrator.folders.take import take

    keep = not request.dry_run
    with (
        stoppable() as stop,
        open_cache(settings, create=keep) as cache,
        open_sources(settings, cache.state_dir, stop, keep=keep) as sources,
    ):
        report = take(request, sites_of(settings, sources, stop), cache, stop=stop, emit=emit)
        if keep:
            _sweep(cache.staging)
        return report


def look(settings: Settings) -> Contents:
    """What the cache holds; writes nothing."""
    from orchestrator.upkeep.contents import contents

    with stoppable(), open_cache(settings, create=False) as cache:
        return contents(cache)


def pin(settings: Settings, targets: Sequence[Target], *, keep: bool) -> dict[str, frozenset[Target]]:
    """Pin, or let go of, models; returns all that are pinned then, by user: "" is this one."""
    from orchestrator.cache.pins import Pins

    pins = Pins(CacheLayout.at(settings.cache_dir), known_state(settings, create=True))
    if keep:
        pins.add(targets)
    else:
        pins.remove(targets)
    return {"": pins.own(), **pins.of_others()}


def fetch_url(
    settings: Settings, url: str, digest: Digest, folder: Path, emit: Emit, *, force: bool = False
) -> PullReport:
    """Fetch a single file by its address."""
    from orchestrator.pull.single import fetch_single

    # What arrives lies there until it is proven.
    state_of(settings)
    with (
        stoppable() as stop,
        open_shared(settings, emit) as shared,
        open_cache(settings, shared=shared) as cache,
        open_sources(settings, cache.state_dir, stop) as sources,
    ):
        report = fetch_single(
            url,
            digest,
            folder,
            sources=sources,
            staging=cache.staging,
            mover=mover_of(settings),
            stop=stop,
            emit=emit,
            force=force,
            portable=settings.portable,
        )
        _sweep(cache.staging)
        return report


def _sweep(staging: Staging) -> None:
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
        from orchestrator.aria2.daemon import sweep  # loads aria2p, which a complete model does not need

        sweep(runtime)


def probe_mirrors(settings: Settings, ref: Ref | None, bounds: Bounds) -> Survey:
    """Probe the root and the mirrors, with a file of `ref` where there is one; what was measured is remembered."""
    from orchestrator.doctor.survey import survey

    with (
        stoppable() as stop,
        open_cache(settings) as cache,
        open_sources(settings, cache.state_dir, stop, hasty=True) as sources,
    ):
        return survey(ref, sites_of(settings, sources, stop), sources, cache.records, bounds)


def examine(settings: Settings, ref: Ref | None, compared: Sequence[NameServer]) -> Diagnosis:
    """Measure everything that may make a download slow; what was measured of sources is remembered."""
    from orchestrator.doctor.examine import DoctorRequest
    from orchestrator.doctor.examine import examine as flow_examine
    from orchestrator.doctor.figures import keep_figures

    credentials = Credentials(settings.token, settings.token_hosts)
    with contextlib.suppress(GlmAriaError):  # a disk that takes nothing is among what is looked for
        state_of(settings)
    state = known_state(settings)
    with (
        stoppable() as stop,
        open_cache(settings, create=state.is_dir()) as cache,
        open_sources(settings, cache.state_dir, stop, keep=state.is_dir(), hasty=True) as sources,
        open_lookup(settings, state, keep=False) as lookup,
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
            known_mirrors=default_mirrors(),
            roomy=tuple(Path(name) for name in (places.home(), "/data", "/mnt", "/srv", "/var/tmp") if name),  # noqa: S108
            rpc=settings.rpc,
        )
        found = flow_examine(request, sites_of(settings, sources, stop), sources, cache, direct)
        if state.is_dir():
            with contextlib.suppress(GlmAriaError):
                keep_figures(state, found.facts.sources)
        return found


def _note_history(settings: Settings, report: PullReport) -> None:
    """Add the pull to the history. A pull that is done is not failed by a history that cannot be written."""
    from orchestrator.doctor.past import entries_of

    if entries := entries_of(report, time.time()):
        from orchestrator.doctor.history_file import History

        with contextlib.suppress(GlmAriaError):
            History(state_of(settings)).add(entries)


def past_pulls(settings: Settings) -> tuple[Past, ...]:
    """The pulls that are remembered, the oldest first. Writes nothing."""
    from orchestrator.doctor.history_file import History

    return History(known_state(settings)).read()


def tuning(settings: Settings) -> tuple[Change, ...]:
    """What the figures of the last doctor, of probes and pulls say about the settings. Asks nobody."""
    from orchestrator.doctor.figures import read_figures
    from orchestrator.doctor.tuning import Current, suggest

    state = known_state(settings)
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


def known_mirrors(settings: Settings) -> tuple[tuple[Source, ...], Stats]:
    """The root and the mirrors, and what is remembered. Asks nobody, writes nothing."""
    return (settings.root, *settings.mirrors), _memory(settings).read()


def forgive_mirror(settings: Settings, name: str) -> tuple[str, ...]:
    """Release a source from quarantine; the addresses that had this name or were this one."""
    return _memory(settings).forgive(name)


def _memory(settings: Settings) -> SourceStats:
    return SourceStats(known_state(settings))


def write_aria2_input(settings: Settings, plan: Plan, path: Path) -> None:
    """Write an input file for plain `aria2c -i` that fetches the plan's jobs into folders beside it."""
    from orchestrator.disk.atomic import write_file
    from orchestrator.templating import render

    entries = [
        {
            "uris": [source.file_url(job.origins[0]) for source in sources_of(settings, job.origins[0].kind)],
            "dir": f"{path.stem}.d/{job.origins[0].repo.folder}",
            "out": job.name,
            "sha256": job.digest.hex if job.digest.algorithm is Algorithm.SHA256 else None,
        }
        for job in plan.jobs
    ]
    models = [f"{model.model.ref} = {model.model.commit}" for model in plan.models]
    write_file(path, render("aria2.input", version=__version__, models=models, entries=entries), path.parent)
