"""Tables of sources."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence

from orchestrator.cli.views.table import NOTHING, ago, http_versions, latency, milliseconds, share, show, yes_or_no
from orchestrator.doctor.document import DiagnosedSource
from orchestrator.doctor.source_documents import KnownSource, KnownSources, ProbeDocument, ProbedSource
from orchestrator.mirrors.stats import Quarantine


def show_known(found: KnownSources, now: float) -> None:
    """Each source in the order in which it would be asked, then those that are not; `now` is unix seconds."""
    head = ("source", "latency", "MB/s 1", "MB/s n", "failed", "seen", "quarantine")
    rows = [
        (
            name_of(source),
            milliseconds(source.latency),
            _speed(source.rate_one),
            _speed(source.rate_many),
            f"{source.failures:.0f}",
            ago(source.seen, now) if source.seen else "never",
            _since(source.quarantine),
        )
        for source in found.sources
    ]
    # A name is typed again after `forgive`: it stays whole on its line.
    show(head, rows, tuple(_notes(found.sources)), whole="source")


def show_probed(found: ProbeDocument) -> None:
    """Each source with what the probe measured."""
    several = max((source.connections for source in found.sources), default=1)
    head = ("source", "latency", "lost", "MB/s 1", f"MB/s {several}", "commit", "ranges", "HTTP", "quarantine")
    failed = [f"{source.name}: {source.error}" for source in found.sources if source.error]
    show(head, [_probed_row(source) for source in found.sources], (*failed, *_notes(found.sources)), whole="source")


def name_of(source: KnownSource | ProbedSource | DiagnosedSource) -> str:
    """The name of a source, and whether it is the root."""
    return source.name + (" (root)" if source.is_root else "")


def _probed_row(source: ProbedSource) -> tuple[str, ...]:
    part = f" ({source.files_held} of {source.files_wanted})" if source.files_wanted else ""
    return (
        name_of(source),
        latency(source.latency, source.jitter),
        share(source.loss),
        _speed(source.rate_one),
        _speed(source.rate_many),
        source.commit.value + part,
        yes_or_no(source.ranges),
        http_versions(source.http),
        _since(source.quarantine),
    )


def _notes(sources: Sequence[KnownSource] | Sequence[ProbedSource]) -> Iterator[str]:
    """Notes on quarantined sources: the reason, and the command that releases them."""
    for source in sources:
        if found := source.quarantine:
            way = f"glm-aria mirrors forgive {shlex.quote(source.name)}"
            yield f"{source.name}: {_reason(found)}; to use it again: {way}"


def _reason(found: Quarantine) -> str:
    evidence = found.evidence
    if evidence is None:
        return found.reason
    where = "" if evidence.first is None else f", bytes {evidence.first} to {evidence.last}"
    return f"{found.reason} ({evidence.file!r}{where}: expected {evidence.expected}, got {evidence.got})"


def _speed(rate: float | None) -> str:
    """In MB/s, as the heads of the columns say."""
    return NOTHING if rate is None else f"{rate / 1e6:.1f}" if rate < 99.95e6 else f"{rate / 1e6:.0f}"


def _since(found: Quarantine | None) -> str:
    return NOTHING if found is None else time.strftime("%Y-%m-%d", time.localtime(found.since))
