"""Reports of the `mirrors` commands on sources, as the data of their JSON documents.

Times are seconds, moments unix seconds, rates bytes a second; None is what could not be measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from orchestrator.core.sources import Source
from orchestrator.core.text import redacted
from orchestrator.doctor.facts import Freshness, SourceFacts
from orchestrator.doctor.survey import Survey
from orchestrator.documents import Amount, Count
from orchestrator.mirrors.probe import Probe
from orchestrator.mirrors.rank import rank
from orchestrator.mirrors.stats import Quarantine, Remembered, Stats


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A source and what is remembered of it. `kind` and `url` are None for one that is in no setting any more, `rank`
    (its place in the order) for one that is left out."""

    name: str
    address: str
    kind: str | None
    url: str | None
    is_root: bool
    rank: Count | None
    latency: Amount | None
    rate_one: Amount | None
    rate_many: Amount | None
    failures: Amount
    seen: Amount | None
    quarantine: Quarantine | None


@dataclass(frozen=True, slots=True)
class KnownSources:
    """The data of `mirrors ls`: the ranked sources, those left out, and those in quarantine that are in no setting."""

    sources: tuple[KnownSource, ...]

    @classmethod
    def of(cls, sources: Sequence[Source], memory: Stats) -> Self:
        """The data of the sources of the settings and of what is remembered."""
        order = rank(sources, memory)
        places = {source.address: at for at, source in enumerate(order, 1)}
        named = (*order, *(source for source in sources if source not in order))
        addresses = {source.address for source in sources}
        gone = [
            (address, known)
            for address, known in sorted(memory.entries.items())
            if known.quarantine is not None and address not in addresses
        ]
        return cls(
            (
                *(_known(source, memory.of(source), memory.at, places.get(source.address)) for source in named),
                *(_gone(address, known, memory.at) for address, known in gone),
            )
        )


def _known(source: Source, known: Remembered, now: float, place: int | None) -> KnownSource:
    return KnownSource(
        source.name, source.address, source.kind.name, source.url, source.is_root, place, **_remembered(known, now)
    )


def _gone(address: str, known: Remembered, now: float) -> KnownSource:
    return KnownSource(known.name, address, None, None, False, None, **_remembered(known, now))


def _remembered(known: Remembered, now: float) -> dict[str, Any]:
    return {
        "latency": known.latency,
        "rate_one": known.rate_one,
        "rate_many": known.rate_many,
        "failures": round(known.failures_at(now), 2),
        "seen": known.seen or None,
        "quarantine": known.quarantine,
    }


@dataclass(frozen=True, slots=True)
class ProbedSource:
    """A source as a probe found it. `files_held` of the `files_wanted` large files it lists with the right digest;
    None where the commit itself was compared."""

    name: str
    address: str
    kind: str
    url: str
    is_root: bool
    dns: Amount | None
    connect: Amount | None
    tls: Amount | None
    first_byte: Amount | None
    latency: Amount | None
    jitter: Amount | None
    loss: Amount | None
    rate_one: Amount | None
    rate_many: Amount | None
    connections: Count
    ranges: bool | None
    announces_digest: bool | None
    http: tuple[str, ...]
    commit: Freshness
    files_held: Count | None
    files_wanted: Count | None
    quarantine: Quarantine | None
    error: str | None

    @classmethod
    def of(cls, found: SourceFacts) -> Self:
        """The entry of a source."""
        source, probe = found.source, found.probe
        return cls(
            name=source.name,
            address=source.address,
            kind=source.kind.name,
            url=source.url,
            is_root=source.is_root,
            **times_of(probe),
            rate_one=probe.rate_one,
            rate_many=probe.rate_many,
            connections=probe.connections,
            ranges=probe.ranges,
            announces_digest=probe.announces_digest,
            http=probe.http,
            commit=found.state,
            files_held=found.held,
            files_wanted=found.wanted,
            quarantine=found.quarantine,
            error=redacted(found.error) if found.error else None,
        )


@dataclass(frozen=True, slots=True)
class ProbeDocument:
    """The data of `mirrors probe`. `file` is the sample, `reference` whose listing the others were compared with."""

    ref: str | None
    commit: str | None
    file: str | None
    reference: str | None
    sources: tuple[ProbedSource, ...]

    @classmethod
    def of(cls, found: Survey) -> Self:
        """The data of a survey."""
        return cls(
            ref=str(found.ref) if found.ref else None,
            commit=found.commit,
            file=found.file.path if found.file else None,
            reference=found.reference.name if found.reference else None,
            sources=tuple(map(ProbedSource.of, found.rows)),
        )


@dataclass(frozen=True, slots=True)
class ForgivenDocument:
    """The data of `mirrors forgive`: the addresses that may send bytes again."""

    forgiven: tuple[str, ...]


def times_of(probe: Probe) -> dict[str, float | None]:
    """The times of a probe, in seconds, and the share of its requests without an answer."""
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
