"""What is known of sources as a table for people, or as the `data` of a JSON document."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.cli import terminal
from orchestrator.core.sizes import format_duration
from orchestrator.core.sources import Source
from orchestrator.doctor.survey import Row, Survey
from orchestrator.mirrors.probe import Probe
from orchestrator.mirrors.rank import rank
from orchestrator.mirrors.stats import Quarantine, Remembered, Stats

_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; the first row names the columns. `notes` are sentences below."""

    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def show(table: Table) -> None:
    """Print to stdout: a table of rich on a terminal, else plain aligned text."""
    cells = [[terminal.printable(cell) for cell in row] for row in table.rows]
    if sys.stdout.isatty():
        _show_rich(cells)
    else:
        widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
        for row in cells:
            terminal.result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for note in table.notes:
        terminal.result(terminal.message(note))


def _show_rich(cells: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in cells[0]:
        # A name is typed again after `forgive`: it stays whole on its line.
        table.add_column(column, no_wrap=column == "source", overflow="fold")
    for row in cells[1:]:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


# -- mirrors ls --------------------------------------------------------------------------------------------------------


def remembered_table(sources: Sequence[Source], memory: Stats) -> Table:
    """Each source in the order in which it would be asked, then those that are not."""
    head = ("source", "latency", "MB/s 1", "MB/s n", "failed", "seen", "quarantine")
    entries = _entries(sources, memory)
    rows = [
        (
            entry.name + (" (root)" if entry.is_root else ""),
            _milliseconds(entry.known.latency),
            _speed(entry.known.rate_one),
            _speed(entry.known.rate_many),
            f"{entry.known.failures_at(memory.at):.0f}",
            _ago(entry.known.seen, memory.at),
            _since(entry.known.quarantine),
        )
        for entry in entries
    ]
    return Table((head, *rows), tuple(_notes(entries)))


def remembered_data(sources: Sequence[Source], memory: Stats) -> dict[str, object]:
    """The `data` of `mirrors ls`; `rank` is the place in the order, None for a source that is left out."""
    order = rank(sources, memory)
    return {
        "sources": [
            (_source(entry.source) if entry.source else _unknown(entry))
            | {"rank": order.index(entry.source) + 1 if entry.source in order else None}
            | _remembered(entry.known, memory.at)
            for entry in _entries(sources, memory)
        ]
    }


@dataclass(frozen=True, slots=True)
class _Entry:
    """A source and what is known of it; `source` is None where only the memory knows of it."""

    address: str
    source: Source | None
    known: Remembered

    @property
    def name(self) -> str:
        return self.source.name if self.source else self.known.name

    @property
    def is_root(self) -> bool:
        return self.source is not None and self.source.is_root


def _entries(sources: Sequence[Source], memory: Stats) -> list[_Entry]:
    """The ranked sources, those left out, and those in quarantine that are in no setting any more."""
    order = rank(sources, memory)
    named = (*order, *(source for source in sources if source not in order))
    addresses = {source.address for source in sources}
    gone = [
        _Entry(address, None, known)
        for address, known in sorted(memory.entries.items())
        if known.quarantine is not None and address not in addresses
    ]
    return [*(_Entry(source.address, source, memory.of(source)) for source in named), *gone]


def _remembered(known: Remembered, now: float) -> dict[str, object]:
    return {
        "latency": known.latency,
        "rate_one": known.rate_one,
        "rate_many": known.rate_many,
        "failures": round(known.failures_at(now), 2),
        "seen": known.seen or None,
        "quarantine": asdict(known.quarantine) if known.quarantine else None,
    }


# -- mirrors probe -----------------------------------------------------------------------------------------------------


def probed_table(found: Survey) -> Table:
    """Each source with what the probe measured."""
    several = max((row.probe.connections for row in found.rows), default=1)
    head = ("source", "latency", "lost", "MB/s 1", f"MB/s {several}", "commit", "ranges", "HTTP", "quarantine")
    rows = [_probed_row(row, found.memory) for row in found.rows]
    notes = [f"{row.source.name}: {row.probe.error.message}" for row in found.rows if row.probe.error]
    probed = [_Entry(row.source.address, row.source, found.memory.of(row.source)) for row in found.rows]
    return Table((head, *rows), (*notes, *_notes(probed)))


def _probed_row(row: Row, memory: Stats) -> tuple[str, ...]:
    probe = row.probe
    varies = f" ±{1000 * probe.jitter:.0f}" if probe.jitter is not None else ""
    part = f" ({row.held} of {row.wanted})" if row.wanted else ""
    return (
        row.source.name + (" (root)" if row.source.is_root else ""),
        _milliseconds(probe.latency, varies),
        _NOTHING if probe.loss is None else f"{probe.loss:.0%}",
        _speed(probe.rate_one),
        _speed(probe.rate_many),
        row.state.value + part,
        {None: _NOTHING, True: "yes", False: "no"}[probe.ranges],
        " ".join(version.removeprefix("http/") for version in probe.http) or _NOTHING,
        _since(memory.of(row.source).quarantine),
    )


def probed_data(found: Survey) -> dict[str, object]:
    """The `data` of `mirrors probe`. Times are seconds, rates bytes a second."""
    return {
        "ref": str(found.ref) if found.ref else None,
        "commit": found.commit,
        "file": found.file.path if found.file else None,
        "reference": found.reference.name if found.reference else None,
        "sources": [_probed(row, found.memory) for row in found.rows],
    }


def _probed(row: Row, memory: Stats) -> dict[str, Any]:
    probe = row.probe
    quarantine = memory.of(row.source).quarantine
    return {
        **_source(row.source),
        **times_data(probe),
        "rate_one": probe.rate_one,
        "rate_many": probe.rate_many,
        "connections": probe.connections,
        "ranges": probe.ranges,
        "announces_digest": probe.announces_digest,
        "http": list(probe.http),
        "commit": row.state.value,
        "files_held": row.held,
        "files_wanted": row.wanted,
        "quarantine": asdict(quarantine) if quarantine else None,
        "error": terminal.message(probe.error.message) if probe.error else None,
    }


def times_data(probe: Probe) -> dict[str, object]:
    """What a probe timed, in seconds, and the share of its questions that had no answer."""
    hands = probe.handshake
    return {
        "dns": hands.dns if hands else None,
        "connect": hands.connect if hands else None,
        "tls": hands.tls if hands else None,
        "first_byte": probe.first_byte,
        "latency": probe.latency,
        "jitter": probe.jitter,
        "loss": probe.loss,
    }


def _source(source: Source) -> dict[str, object]:
    return {
        "name": source.name,
        "address": source.address,
        "kind": source.kind.name,
        "url": source.url,
        "is_root": source.is_root,
    }


def _unknown(entry: _Entry) -> dict[str, object]:
    return {"name": entry.name, "address": entry.address, "kind": None, "url": None, "is_root": False}


def _notes(entries: Sequence[_Entry]) -> list[str]:
    """Why each one is in quarantine, and how it gets out."""
    return [
        f"{entry.name}: {_reason(found)}; to use it again: glm-aria mirrors forgive {shlex.quote(entry.name)}"
        for entry in entries
        if (found := entry.known.quarantine) is not None
    ]


def _reason(found: Quarantine) -> str:
    evidence = found.evidence
    if evidence is None:
        return found.reason
    where = "" if evidence.first is None else f", bytes {evidence.first} to {evidence.last}"
    return f"{found.reason} ({evidence.file!r}{where}: expected {evidence.expected}, got {evidence.got})"


def _milliseconds(seconds: float | None, more: str = "") -> str:
    return _NOTHING if seconds is None else f"{1000 * seconds:.0f}{more} ms"


def _speed(rate: float | None) -> str:
    """In MB/s, as the heads of the columns say."""
    return _NOTHING if rate is None else f"{rate / 1e6:.1f}" if rate < 99.95e6 else f"{rate / 1e6:.0f}"


def _ago(then: float, now: float) -> str:
    """In the largest unit alone."""
    return f"{' '.join(format_duration(max(0.0, now - then)).split()[:2])} ago" if then else "never"


def _since(found: Quarantine | None) -> str:
    return _NOTHING if found is None else time.strftime("%Y-%m-%d", time.localtime(found.since))
