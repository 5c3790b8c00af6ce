"""A diagnosis as text for people, or as the `data` of a JSON document."""

from __future__ import annotations

import math
from dataclasses import asdict

from orchestrator.cli import terminal
from orchestrator.cli.views.sources import Table, show, times_data
from orchestrator.core.resolvers import Reply
from orchestrator.core.sizes import format_size, format_speed
from orchestrator.doctor.examine import Diagnosis
from orchestrator.doctor.findings import Finding, SourceFacts, cost_text
from orchestrator.doctor.route import Route
from orchestrator.doctor.survey import Row

_NOTHING = "-"


def print_text(found: Diagnosis) -> None:
    """Tables of what was measured, then the findings."""
    if found.rows:
        head = (
            "source",
            "name",
            "connect",
            "TLS",
            "first byte",
            "latency",
            "lost",
            "MB/s 1/4/16",
            "range",
            "HTTP",
        )
        show(Table((head, *(_source_row(row) for row in found.rows))))
        terminal.result("")
    if found.facts.replies:
        show(Table((("resolver", "name", "time", "answer"), *map(_reply_row, found.facts.replies))))
        terminal.result("")
    for name, route in found.routes.items():
        terminal.result(terminal.printable(f"route to {name}: {_route(route)}"))
    for line in _machine(found):
        terminal.result(terminal.printable(line))
    for note in found.notes:
        terminal.result(terminal.printable(f"note: {note}"))
    terminal.result("")
    if not found.findings:
        terminal.result("nothing was found that slows downloads down")
    size = format_size(found.facts.size)
    for number, finding in enumerate(found.findings, 1):
        terminal.result(terminal.message(f"{number}. {finding.message}"))
        cost = cost_text(finding.cost)
        terminal.result(terminal.message(f"   measured: {finding.measured}; cost for {size}: {cost}"))
        if finding.command:
            terminal.result(terminal.printable(f"   {finding.command}"))


def data(found: Diagnosis) -> dict[str, object]:
    """The `data` of the document. Times are seconds, rates bytes a second; a cost of null is a download that fails."""
    facts = found.facts
    return {
        "ref": str(found.ref) if found.ref else None,
        "file": found.file,
        "bytes": facts.size,
        "seconds": round(found.seconds, 3),
        "findings": [finding_data(finding) for finding in found.findings],
        "sources": [_source_data(row, _facts_of(found, row)) for row in found.rows],
        "resolvers": [_reply_data(reply) for reply in facts.replies],
        "routes": {
            name: {
                "method": route.method,
                "hops": [asdict(hop) for hop in route.hops],
                "connects": list(route.connects),
            }
            for name, route in found.routes.items()
        },
        "machine": {
            "free": facts.free,
            "write_rate": facts.write_rate,
            "aria2": facts.aria2_version,
            "aria2_features": list(facts.aria2_features),
            "open_files": facts.open_files[0] if facts.open_files else None,
            "litter": facts.litter,
            "unreadable": list(facts.unreadable),
        },
        "notes": [terminal.message(note) for note in found.notes],
    }


def finding_data(finding: Finding) -> dict[str, object]:
    """One finding, for JSON."""
    return {
        "code": finding.code,
        "message": terminal.message(finding.message),
        "measured": terminal.message(finding.measured),
        "cost": None if math.isinf(finding.cost) else round(finding.cost, 1),
        "command": finding.command,
        "source": finding.source,
    }


def _facts_of(found: Diagnosis, row: Row) -> SourceFacts:
    return next(one for one in found.facts.sources if one.name == row.source.name)


def _source_data(row: Row, facts: SourceFacts) -> dict[str, object]:
    probe = row.probe
    return {
        "name": row.source.name,
        "url": row.source.url,
        "is_root": row.source.is_root,
        **times_data(probe),
        "rates": [{"connections": count, "rate": rate} for count, rate in probe.rates],
        "ranges": probe.ranges,
        "http": list(probe.http),
        "clock_offset": probe.clock_offset,
        "proxy": facts.proxy,
        "rate_past_proxy": facts.direct,
        "commit": row.state.value,
        "quarantine": facts.quarantine,
        "error": terminal.message(facts.error) if facts.error else None,
    }


def _reply_data(reply: Reply) -> dict[str, object]:
    return {
        "resolver": str(reply.server) if reply.server else "system",
        "name": reply.name,
        "seconds": reply.seconds,
        "addresses": list(reply.addresses),
        "error": terminal.message(reply.error) if reply.error else None,
    }


def _source_row(row: Row) -> tuple[str, ...]:
    probe, hands = row.probe, row.probe.handshake
    name = row.source.name + (" (root)" if row.source.is_root else "")
    if probe.error is not None:
        return (name, *[_NOTHING] * 8, probe.error.message[:60])
    rates = "/".join(f"{rate / 1e6:.1f}" for _, rate in probe.rates)
    varies = f" ±{1000 * probe.jitter:.0f}" if probe.jitter is not None else ""
    return (
        name,
        _ms(hands.dns if hands else None),
        _ms(hands.connect if hands else None),
        _ms(hands.tls if hands else None),
        _ms(probe.first_byte),
        _ms(probe.latency, varies),
        _NOTHING if probe.loss is None else f"{probe.loss:.0%}",
        rates or _NOTHING,
        {None: _NOTHING, True: "yes", False: "no"}[probe.ranges],
        " ".join(version.removeprefix("http/") for version in probe.http) or _NOTHING,
    )


def _reply_row(reply: Reply) -> tuple[str, ...]:
    name = str(reply.server) if reply.server else "system"
    return (name, reply.name, _ms(reply.seconds), reply.error or ", ".join(reply.addresses[:3]) or "no such name")


def _route(route: Route) -> str:
    if route.hops:
        last = route.hops[-1]
        return f"{len(route.hops)} hops, the last {last.address} after {_ms(last.seconds)}"
    if route.connects:
        return f"TCP connects in {', '.join(_ms(taken) for taken in route.connects)} (no traceroute here)"
    return "cannot be seen"


def _machine(found: Diagnosis) -> tuple[str, ...]:
    facts = found.facts
    offset = next((s.clock_offset for s in facts.sources if s.clock_offset is not None), None)
    proxies = sorted({source.proxy for source in facts.sources if source.proxy})
    aria2 = f"{facts.aria2_version} ({', '.join(facts.aria2_features)})" if facts.aria2_version else "not installed"
    return (
        f"disk: {format_size(facts.free) if facts.free is not None else _NOTHING} free, "
        f"{format_speed(facts.write_rate) if facts.write_rate else _NOTHING} written",
        f"aria2: {aria2}",
        f"proxy: {', '.join(proxies) or 'none'}",
        f"clock: {_NOTHING if offset is None else f'{offset:+.0f} s'} against the servers",
        f"open files: {facts.open_files[0] if facts.open_files else _NOTHING}",
        f"cache: {format_size(facts.litter)} of litter, {len(facts.unreadable)} unreadable",
    )


def _ms(seconds: float | None, more: str = "") -> str:
    return _NOTHING if seconds is None else f"{1000 * seconds:.0f}{more} ms"
