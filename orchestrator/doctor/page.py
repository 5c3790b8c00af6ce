"""A diagnosis as one HTML page: the geometry of its pictures is worked out here, the page is templates/report.html.

Everything that the page shows is in the document of `doctor`, which holds no secret, and is escaped by the template.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from orchestrator import __version__
from orchestrator.core.sizes import format_size, format_speed
from orchestrator.doctor.document import DiagnosedSource, DoctorDocument
from orchestrator.doctor.findings import cost_text
from orchestrator.templating import render

_WIDTH = 560.0
_HEIGHT = 160.0
_STEPS = (("dns", "name"), ("connect", "connect"), ("tls", "TLS"), ("wait", "first byte"))
_COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#be185d")


def page(found: DoctorDocument) -> str:
    """The page as text."""
    costs = [math.inf if finding.cost is None else finding.cost for finding in found.findings]
    return render(
        "report.html",
        version=__version__,
        made=time.strftime("%Y-%m-%d %H:%M"),
        ref=found.ref,
        size=format_size(found.bytes),
        verdict=found.verdict,
        findings=[
            {
                "code": finding.code,
                "message": finding.message,
                "measured": finding.measured,
                "command": finding.command,
                "cost": cost_text(cost),
                "is_heavy": cost >= 60,
            }
            for finding, cost in zip(found.findings, costs, strict=True)
        ],
        sources=found.sources,
        timelines=timelines(found.sources),
        timeline_width=_WIDTH,
        chart=chart(found.sources),
        resolvers=found.resolvers,
        routes=found.routes,
        machine=found.machine,
        notes=found.notes,
        speed=format_speed,
        bytes=format_size,
    )


def timelines(sources: Sequence[DiagnosedSource]) -> dict[str, Any]:
    """For each source the bars of name, connect, TLS and first byte, on one scale; with the scale's marks."""
    rows = []
    for source in sources:
        if source.first_byte is None:
            continue
        known = [source.dns or 0.0, source.connect or 0.0, source.tls or 0.0]
        # The first request opens a connection of its own; what is left of it is the server's time.
        waits = max(0.0, source.first_byte - known[1] - known[2])
        rows.append((source.name, [*known, waits]))
    longest = max((sum(parts) for _, parts in rows), default=0.0) or 1.0
    lines = []
    for name, parts in rows:
        at, bars = 0.0, []
        for number, ((_, label), seconds) in enumerate(zip(_STEPS, parts, strict=True)):
            width = seconds / longest * _WIDTH
            bars.append(
                {"x": at, "width": width, "colour": _COLOURS[number], "text": f"{label} {1000 * seconds:.0f} ms"}
            )
            at += width
        lines.append({"name": name, "bars": bars, "total": f"{1000 * sum(parts):.0f} ms"})
    legend = [(label, _COLOURS[number]) for number, (_, label) in enumerate(_STEPS)]
    return {"lines": lines, "legend": legend, "longest": f"{1000 * longest:.0f} ms"}


def chart(sources: Sequence[DiagnosedSource]) -> dict[str, Any]:
    """Speed against connections: a line for each source."""
    measured = [source for source in sources if source.rates]
    most = max((one.rate for source in measured for one in source.rates), default=0.0) or 1.0
    counts = sorted({one.connections for source in measured for one in source.rates})
    # Spread by powers.
    longest = math.log(counts[-1]) if counts and counts[-1] > 1 else 1.0
    places = {count: _WIDTH * math.log(count) / longest for count in counts}
    lines = []
    for number, source in enumerate(measured):
        points = [
            {
                "x": places[one.connections],
                "y": _HEIGHT * (1 - one.rate / most),
                "text": f"{source.name}: {format_speed(one.rate)} over {one.connections}",
            }
            for one in source.rates
        ]
        path = " ".join(f"{point['x']:.1f},{point['y']:.1f}" for point in points)
        colour = _COLOURS[number % len(_COLOURS)]
        best = format_speed(max(one.rate for one in source.rates))
        lines.append({"name": source.name, "points": points, "path": path, "colour": colour, "best": best})
    marks = [{"y": _HEIGHT * (1 - share), "text": format_speed(most * share)} for share in (0, 0.5, 1)]
    return {
        "lines": lines,
        "marks": marks,
        "columns": [{"x": x, "text": str(count)} for count, x in places.items()],
        "width": _WIDTH,
        "height": _HEIGHT,
    }
