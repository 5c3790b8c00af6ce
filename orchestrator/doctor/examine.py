"""`doctor`: everything that may make a download slow is measured, in parallel and within a deadline.

Three rounds: this machine and its resolvers; all sources and the ways to them; past the proxy, where there is one.
Whatever is not there in time is left out, and said to be.
"""

from __future__ import annotations

import os
import resource
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.aria2.endpoint import OpenRpc
from orchestrator.aria2.program import Program, install_command, program
from orchestrator.cache import census as census_
from orchestrator.cache.cache import Cache
from orchestrator.cache.records import Records
from orchestrator.catalogs.sites import Sites
from orchestrator.core.refs import Ref
from orchestrator.core.resolvers import NameServer, Reply
from orchestrator.core.sources import Source, is_this_machine
from orchestrator.disk.space import space, write_rate
from orchestrator.doctor.findings import REFERENCE, Facts, Finding, SourceFacts, findings
from orchestrator.doctor.route import Route, trace
from orchestrator.doctor.survey import Row, Survey, survey
from orchestrator.errors import GlmAriaError, ProtocolError
from orchestrator.mirrors.probe import Bounds, Target, probe
from orchestrator.mirrors.sources import Sources
from orchestrator.mirrors.stats import Stats
from orchestrator.net.addresses import split
from orchestrator.net.dns import Lookup, ask, ask_system, is_local, system_lookup, system_servers
from orchestrator.net.session import Net
from orchestrator.system.threads import try_start
from orchestrator.upkeep.collect import collect
from orchestrator.upkeep.garbage import Rules

BOUNDS = Bounds(seconds=0.5, connections=4, more=(16,), pings=5)
_HERE, _THERE, _PAST = 3.5, 10.5, 3.5
_DNS_PATIENCE = 2.5
_RESERVE = 256 << 20
_USUAL_RPC = "http://127.0.0.1:6800/jsonrpc"


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """What the doctor is to know. Without a `ref` it is the model that was listed last. `resolvers` are those in use,
    `compared` further ones to measure. `rpc` is the aria2 of the settings, where they name one.
    """

    ref: Ref | None = None
    connections: int = 16
    budget: int = 64
    max_speed: int | None = None
    is_offline: bool = False
    resolvers: tuple[NameServer, ...] = ()
    compared: tuple[NameServer, ...] = ()
    lookup: Lookup | None = None
    known_mirrors: tuple[Source, ...] = ()
    roomy: tuple[Path, ...] = ()
    rpc: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found. `notes` are sentences on what could not be measured."""

    facts: Facts
    findings: tuple[Finding, ...]
    rows: tuple[Row, ...] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)
    memory: Stats = field(default_factory=lambda: Stats(0.0))
    ref: Ref | None = None
    file: str | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def examine(request: DoctorRequest, sites: Sites, sources: Sources, cache: Cache, direct: Net) -> Diagnosis:
    """Measure and judge. `direct` is a net that takes no proxy. Never raises for what the network does."""
    begun = time.monotonic()
    notes: list[str] = []
    is_named = request.ref is not None
    if not is_named:
        request = replace(request, ref=_last_listed(cache.records))
    here = _Round(_here(request, sites, cache)).results(_HERE, notes)
    found: Survey | None = None
    routes: dict[str, Route] = {}
    if not request.is_offline:
        there = _Round(_there(request, sites, sources, cache.records)).results(_THERE, notes)
        found = there.pop("the sources", None)
        routes = {name.partition(" ")[2]: route for name, route in there.items() if isinstance(route, Route)}
        if request.ref is None:
            notes.append("no model is known here, so no speed was measured: glm-aria doctor org/name")
        elif isinstance(found, Survey) and found.ref is None:
            notes.append(f"{request.ref} could not be listed, so no speed was measured")
        elif not is_named:
            notes.append(f"no model was named: measured with {request.ref}, the last one that was pulled")
    past = _past_proxy(found, sources.hasty, direct) if found else {}
    facts = _facts(request, sites, sources.hasty, found, here, past=past)
    rows = found.rows if found else ()
    return Diagnosis(
        facts, findings(facts), rows, routes, found.memory if found else sources.stats.read(), request.ref,
        found.file.path if found and found.file else None, time.monotonic() - begun, tuple(notes),
    )  # fmt: skip


def _last_listed(records: Records) -> Ref | None:
    """The model that stands in where none was named; not a closed one, whose name is nobody else's business."""
    for repo, commit in records.commits():
        record = records.load(repo, commit)
        if record is not None and not record.is_restricted:
            return Ref(repo, next(iter(records.revisions(repo, commit)), commit))
    return None


class _Round:
    """Steps that run at once, each in a daemon thread that nobody waits for beyond the deadline."""

    def __init__(self, steps: Mapping[str, Callable[[], Any]]) -> None:
        self._found: dict[str, Any] = {}
        self._failed: dict[str, str] = {}
        self._threads = {
            name: threading.Thread(target=self._run, args=(name, step), daemon=True) for name, step in steps.items()
        }

    def results(self, seconds: float, notes: list[str]) -> dict[str, Any]:
        """What was there in time; a note for each step that was not."""
        deadline = time.monotonic() + seconds
        started = {name: thread for name, thread in self._threads.items() if try_start(thread)}
        notes += [f"{name}: no thread could be started for it" for name in self._threads if name not in started]
        for name, thread in started.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                notes.append(f"{name}: not done within {seconds:.0f} s, left out")
        notes += [f"{name}: {why}" for name, why in self._failed.items()]
        return dict(self._found)

    def _run(self, name: str, step: Callable[[], Any]) -> None:
        try:
            self._found[name] = step()
        except GlmAriaError as error:
            self._failed[name] = error.message
        except OSError as error:
            self._failed[name] = error.strerror or type(error).__name__


def _here(request: DoctorRequest, sites: Sites, cache: Cache) -> dict[str, Callable[[], Any]]:
    cache_dir = cache.layout.cache_dir
    steps: dict[str, Callable[[], Any]] = {
        "disk speed": lambda: write_rate(cache_dir),
        "free space": lambda: space(cache_dir).free,
        "aria2": program,
        "cache": lambda: _cache_health(cache),
        "aria2's RPC": lambda: _open_rpcs(request),
        "roomier disk": lambda: _roomier(cache_dir, request.roomy),
    }
    names = [] if request.is_offline else _names(sites)
    if names:
        servers = dict.fromkeys((*request.resolvers, *request.compared, *system_servers()))
        for name in names:
            steps[f"system resolver {name}"] = partial(ask_system, name)
            for server in servers:
                steps[f"resolver {server} {name}"] = partial(_asked, server, name)
    return steps


def _open_rpcs(request: DoctorRequest) -> tuple[OpenRpc, ...]:
    """The aria2 daemons of this machine that obey everybody: the usual one, and that of the settings."""
    from orchestrator.aria2.running import open_rpc

    named = [request.rpc] if request.rpc and is_this_machine(urlsplit(request.rpc).hostname or "") else []
    return tuple(found for url in dict.fromkeys((*named, _USUAL_RPC)) if (found := open_rpc(url)))


def _asked(server: NameServer, name: str) -> Reply:
    return ask(server, name, _DNS_PATIENCE)[0]


def _names(sites: Sites) -> list[str]:
    hosts = dict.fromkeys(catalog.source.host for catalog in sites.named)
    return [host for host in hosts if not is_local(host)]


def _there(request: DoctorRequest, sites: Sites, sources: Sources, records: Records) -> dict[str, Callable[[], Any]]:
    def survey_all() -> Survey:
        begun = time.monotonic()
        try:
            return survey(request.ref, sites, sources, records, BOUNDS, patience=_THERE - 2, must_answer=False)
        except GlmAriaError:
            left = max(1.0, _THERE - 1 - (time.monotonic() - begun))
            return survey(None, sites, sources, records, BOUNDS, patience=left, must_answer=False)

    steps: dict[str, Callable[[], Any]] = {"the sources": survey_all}
    for catalog in sites.named:
        source = catalog.source
        # What cannot be asked is told among the sources.
        with suppress(ProtocolError):
            parts = split(source.url)
            if sources.hasty.proxy_for(source.url) is not None:
                continue
            port = parts.port or (443 if parts.scheme == "https" else 80)
            steps[f"route {source.address}"] = partial(trace, source.host, port, 6.0, request.lookup or system_lookup)
    return steps


def _past_proxy(found: Survey, net: Net, direct: Net) -> dict[str, float]:
    """The rate over one connection past the proxy, by address, of the sources that are asked through one."""
    steps: dict[str, Callable[[], Any]] = {}
    for row in found.rows:
        target = row.probe.target
        if target is not None and row.probe.error is None and net.proxy_for(row.source.url):
            steps[row.source.address] = partial(_direct_rate, direct, row.source, target)
    rates = _Round(steps).results(_PAST, []) if steps else {}
    return {address: rate for address, rate in rates.items() if rate}


def _direct_rate(direct: Net, source: Source, target: Target) -> float | None:
    return probe(direct, source, target, Bounds(seconds=0.5, pings=0)).rate_one


def _cache_health(cache: Cache) -> tuple[int, tuple[str, ...]]:
    bad = tuple(repo.folder for repo in census_.take(cache.layout).repos if repo.has_bad_refs)
    return collect(Rules(time.time(), litter=True), cache, act=False).bytes_freed, bad


def _roomier(cache: Path, candidates: Sequence[Path]) -> str | None:
    """The folder with the most room on another disk than the cache's, among those that we may write."""
    rooms: list[tuple[int, str]] = []
    own = _device(cache)
    for path in candidates:
        if path.is_dir() and os.access(path, os.W_OK | os.X_OK) and _device(path) != own:
            rooms.append((space(path).free, str(path / "huggingface" / "hub")))
    return max(rooms)[1] if rooms else None


def _device(path: Path) -> int:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path.stat().st_dev


def _facts(
    request: DoctorRequest,
    sites: Sites,
    net: Net,
    found: Survey | None,
    here: Mapping[str, Any],
    *,
    past: Mapping[str, float],
) -> Facts:
    aria2: Program | None = here.get("aria2")
    free = here.get("free space")
    litter, unreadable = here.get("cache", (0, ()))
    mirrors = [catalog.source for catalog in sites.mirrors]
    known = dict.fromkeys(mirror.spelled for mirror in (*mirrors, *request.known_mirrors))
    without = tuple(
        (
            gone.name,
            "export GLM_ARIA_MIRRORS=" + shlex.quote(" ".join(m.spelled for m in mirrors if m != gone) or "none"),
        )
        for gone in mirrors
    )
    return Facts(
        size=(found.total if found and found.total else REFERENCE),
        sources=tuple(_source(row, found.memory, net, past) for row in found.rows) if found else (),
        mirrors_hint=" ".join(known) if len(known) > len(mirrors) else "",
        without=without,
        replies=tuple(value for value in here.values() if isinstance(value, Reply)),
        resolvers_set=tuple(map(str, request.resolvers)),
        connections=request.connections,
        budget=request.budget,
        max_speed=request.max_speed,
        is_offline=request.is_offline,
        free=None if free is None else max(0, free - _RESERVE),
        write_rate=here.get("disk speed"),
        roomier=here.get("roomier disk"),
        aria2_version=aria2.version if aria2 else None,
        aria2_features=aria2.features if aria2 else (),
        aria2_install=install_command(),
        open_files=_open_files(),
        litter=litter,
        unreadable=unreadable,
        open_rpcs=here.get("aria2's RPC", ()),
    )


def _source(row: Row, memory: Stats, net: Net, past: Mapping[str, float]) -> SourceFacts:
    source, seen = row.source, row.probe
    bad = memory.quarantine_of(source)
    return SourceFacts(
        name=source.name,
        spec=source.spelled,
        is_root=source.is_root,
        latency=seen.latency,
        loss=seen.loss,
        rates=seen.rates,
        ranges=seen.ranges,
        http=seen.http,
        clock_offset=seen.clock_offset,
        state=row.state.value,
        quarantine=bad.reason if bad else None,
        proxy=_proxy_of(source, net),
        direct=past.get(source.address),
        error=seen.error.message if seen.error else None,
    )


def _proxy_of(source: Source, net: Net) -> str | None:
    try:
        return net.proxy_for(source.url)
    except ProtocolError:  # an address that cannot be asked has none
        return None


def _open_files() -> tuple[int, int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 20
    return (most if soft < 0 else soft, most if hard < 0 else hard)
