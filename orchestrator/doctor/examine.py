"""`doctor`: everything that may make a download slow is measured, in parallel and within a deadline.

Four rounds: this machine and its resolvers; each source and the way to it; past the proxy, where there is one; all
sources together. Whatever is not there in time is left out, and said to be.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.aria2.program import install_command
from orchestrator.cache.cache import Cache
from orchestrator.cache.records import Records
from orchestrator.catalogs.sites import Sites
from orchestrator.core.network.resolvers import NameServer
from orchestrator.core.refs import Ref
from orchestrator.core.sources import Source
from orchestrator.doctor.facts import Facts, SourceFacts
from orchestrator.doctor.findings import REFERENCE, Finding, findings
from orchestrator.doctor.machine import CacheHealth, MachineSteps, open_files
from orchestrator.doctor.own_servers import OwnServers, findings_of, look
from orchestrator.doctor.route import Route, trace
from orchestrator.doctor.slowdowns import Slowdown
from orchestrator.doctor.slowdowns import findings_of as findings_of_slow
from orchestrator.doctor.survey import Survey, survey
from orchestrator.errors import GlmAriaError, ProtocolError
from orchestrator.mirrors.crowd import Crowd
from orchestrator.mirrors.probe import Bounds, SampleFile, probe
from orchestrator.mirrors.rates import rungs
from orchestrator.mirrors.sources import Sources
from orchestrator.net.addresses import split
from orchestrator.net.lookup.dns import Lookup, is_local, system_lookup
from orchestrator.net.session import Net
from orchestrator.system.threads import Step, at_once

_HERE, _PAST, _TOGETHER = 3.5, 2.5, 2.5
_ALL = 19.0
"""Seconds of all rounds; what the first one leaves is for the sources."""
_SECONDS, _BYTES, _PIECE = 1.0, 32 << 20, 2 << 20
"""Bounds of a sample over many connections."""
_RESERVE = 256 << 20


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """The request to the doctor. Without a `ref` it is the model that was listed last. `resolvers` are those in use,
    `compared` further ones to measure. `rpc` is the aria2 of the settings, where they name one. `runtimes` are folders
    in which servers of this user say that they run, `endpoint` is what HF_ENDPOINT tells programs to ask. `slow` are
    sources that were slow in the last pulls.
    """

    ref: Ref | None = None
    connections: int = 64
    budget: int = 64
    max_speed: int | None = None
    is_offline: bool = False
    resolvers: tuple[NameServer, ...] = ()
    compared: tuple[NameServer, ...] = ()
    lookup: Lookup | None = None
    known_mirrors: tuple[Source, ...] = ()
    roomy: tuple[Path, ...] = ()
    rpc: str | None = None
    runtimes: tuple[Path, ...] = ()
    endpoint: str | None = None
    slow: tuple[Slowdown, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of an examination. `notes` are sentences on what could not be measured."""

    facts: Facts
    findings: tuple[Finding, ...]
    servers: OwnServers = field(default_factory=OwnServers)
    routes: Mapping[str, Route] = field(default_factory=dict)
    ref: Ref | None = None
    file: str | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def examine(request: DoctorRequest, sites: Sites, sources: Sources, cache: Cache, direct: Net) -> Diagnosis:
    """Measure and judge. `direct` is a net that takes no proxy. Never raises for what the network does."""
    begun = time.monotonic()
    is_named = request.ref is not None
    if not is_named:
        request = replace(request, ref=_last_listed(cache.records))
    hosts = [] if request.is_offline else _hosts(sites)
    resolvers = (*request.resolvers, *request.compared)
    here = MachineSteps.of(cache, request.roomy, request.rpc, hosts, resolvers)
    root = next((catalog.source.url for catalog in sites.named if catalog.source.is_root), "")
    servers = Step("servers", lambda: look(request.runtimes, request.endpoint, cache.layout.cache_dir, root))
    notes = _round((*here.all, servers), _HERE)
    found: Survey | None = None
    routes: dict[str, Route] = {}
    rows: tuple[SourceFacts, ...] = ()
    together: float | None = None
    if not request.is_offline:
        left = begun + _ALL - _PAST - _TOGETHER - time.monotonic()
        surveying = Step("the sources", partial(_survey, request, sites, sources, cache.records, left))
        tracing = _routes(request, sites, sources.hasty)
        notes += _round((surveying, *tracing.values()), left)
        found = surveying.value
        routes = {address: step.value for address, step in tracing.items() if step.value is not None}
        if request.ref is None:
            notes.append("no model is known here, so no speed was measured: glm-aria doctor org/name")
        elif found is not None and found.ref is None:
            notes.append(f"{request.ref} could not be listed, so no speed was measured")
        elif not is_named:
            notes.append(f"no model was named: measured with {request.ref}, the last one that was pulled")
        rows = _past_proxies(found.rows, direct) if found else ()
        together = _together(rows, request.budget)
    facts = _facts(request, sites, here, rows, found.total if found else None, together=together)
    file = found.file.path if found and found.file else None
    seen = servers.value or OwnServers()
    judged = (*findings_of(seen), *findings(facts), *findings_of_slow(request.slow, facts, request.ref))
    ordered = tuple(sorted(judged, key=lambda finding: -finding.cost))
    return Diagnosis(facts, ordered, seen, routes, request.ref, file, time.monotonic() - begun, tuple(notes))


def _last_listed(records: Records) -> Ref | None:
    """The model that stands in where none was named; not one of a registry or a closed
    one, whose name is nobody else's business."""
    for repo, commit in records.commits():
        record = records.load(repo, commit)
        if record is not None and not record.is_restricted and record.pinned is None:
            return Ref(repo, next(iter(records.revisions(repo, commit)), commit))
    return None


def _round(steps: Sequence[Step[Any]], seconds: float) -> list[str]:
    """Do the steps of a round; a note for each that found nothing."""
    at_once(steps, seconds, name="doctor")
    late = [f"{step.name}: not done within {seconds:.0f} s, skipped" for step in steps if not step.is_done]
    return late + [f"{step.name}: {_reason(step.error)}" for step in steps if step.error is not None]


def _reason(error: GlmAriaError | OSError) -> str:
    return error.message if isinstance(error, GlmAriaError) else error.strerror or type(error).__name__


def _hosts(sites: Sites) -> list[str]:
    hosts = dict.fromkeys(catalog.source.host for catalog in sites.named)
    return [host for host in hosts if not is_local(host)]


def _survey(request: DoctorRequest, sites: Sites, sources: Sources, records: Records, seconds: float) -> Survey:
    """All sources, with the model where it can be listed, within so many seconds."""
    begun, steps = time.monotonic(), rungs(request.budget)
    bounds = Bounds(many=_BYTES, piece=_PIECE, total=2 * _PIECE * max(steps, default=1), steps=steps,
                    climb=seconds - 5, pings=5)  # fmt: skip
    try:
        return survey(request.ref, sites, sources, records, bounds, patience=seconds - 2, must_answer=False)
    except GlmAriaError:
        left = max(1.0, seconds - 1 - (time.monotonic() - begun))
        return survey(None, sites, sources, records, bounds, patience=left, must_answer=False)


def _routes(request: DoctorRequest, sites: Sites, net: Net) -> dict[str, Step[Route]]:
    """The way to each source, by its address, without those that a proxy is asked for."""
    steps: dict[str, Step[Route]] = {}
    for catalog in sites.named:
        source = catalog.source
        # What cannot be asked is told among the sources.
        with suppress(ProtocolError):
            parts = split(source.url)
            if net.proxy_for(source.url) is not None:
                continue
            port = parts.port or (443 if parts.scheme == "https" else 80)
            way = partial(trace, source.host, port, 6.0, request.lookup or system_lookup)
            steps[source.address] = Step(f"route {source.address}", way)
    return steps


def _past_proxies(rows: Sequence[SourceFacts], direct: Net) -> tuple[SourceFacts, ...]:
    """The sources, with the rate past the proxy of those that are asked through one."""
    steps = {
        row.source: Step(row.name, partial(_direct_rate, direct, row.source, row.probe.target))
        for row in rows
        if row.proxy and row.probe.target is not None and row.error is None
    }
    at_once(tuple(steps.values()), _PAST, name="direct")
    return tuple(replace(row, direct=steps[row.source].value or None) if row.source in steps else row for row in rows)


def _together(rows: Sequence[SourceFacts], budget: int) -> float | None:
    """Bytes/s of all sources at once, each over as many connections as are enough for it; None for fewer than two."""
    found = [(row.probe.open_range, row.enough[0]) for row in rows if row.is_usable and row.enough]
    openers = [(open_range, number) for open_range, number in found if open_range is not None]
    if len(openers) < 2:
        return None
    wanted = sum(number for _, number in openers)
    crowd = Crowd(2 * budget)
    try:
        for open_range, number in openers:
            crowd.join(open_range, max(1, number * budget // max(wanted, budget)))
        return crowd.rate(_SECONDS, _BYTES, _TOGETHER - _SECONDS)
    finally:
        crowd.close()


def _direct_rate(direct: Net, source: Source, target: SampleFile) -> float | None:
    return probe(direct, source, target, Bounds(seconds=0.5, pings=0)).rate_one


def _facts(
    request: DoctorRequest,
    sites: Sites,
    here: MachineSteps,
    rows: tuple[SourceFacts, ...],
    total: int | None,
    *,
    together: float | None = None,
) -> Facts:
    aria2, free, health = here.aria2.value, here.free.value, here.health.value or CacheHealth()
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
        size=total or REFERENCE,
        sources=rows,
        together=together,
        mirrors_hint=" ".join(known) if len(known) > len(mirrors) else "",
        without=without,
        replies=tuple(step.value for step in here.replies if step.value is not None),
        resolvers_set=tuple(map(str, request.resolvers)),
        connections=request.connections,
        budget=request.budget,
        max_speed=request.max_speed,
        is_offline=request.is_offline,
        free=None if free is None else max(0, free - _RESERVE),
        write_rate=here.write_rate.value,
        roomier=here.roomier.value,
        aria2_version=aria2.version if aria2 else None,
        aria2_features=aria2.features if aria2 else (),
        aria2_path=aria2.path if aria2 else None,
        aria2_is_packaged=aria2 is not None and aria2.is_packaged,
        aria2_install=install_command(),
        open_files=open_files(),
        litter=health.litter,
        unreadable=health.unreadable,
        open_rpcs=here.open_rpcs.value or (),
    )
