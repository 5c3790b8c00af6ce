"""Events as the lines of `--progress json`: one JSON object a line, on stderr."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.core.text import redacted
from orchestrator.documents import Count
from orchestrator.events import (
    Event,
    Evicted,
    FileProgress,
    FleetNews,
    Flipped,
    Foreseen,
    ModelPhase,
    ModelPlanned,
    Notice,
    PeersKnown,
    Phase,
    Queued,
    SourceRates,
    Staying,
)


@dataclass(frozen=True, slots=True)
class ProgressLine:
    """A file that moves; bytes, and bytes a second."""

    event: Literal["progress"]
    file: str
    digest: str
    phase: Phase
    done: Count
    total: Count
    speed: Count
    connections: Count


@dataclass(frozen=True, slots=True)
class PhaseLine:
    """A model that entered a phase."""

    event: Literal["phase"]
    model: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """A model whose plan is made."""

    event: Literal["planned"]
    model: str
    bytes_total: Count
    bytes_to_fetch: Count


@dataclass(frozen=True, slots=True)
class QueuedLine:
    """The files to fetch."""

    event: Literal["queued"]
    files: Count
    bytes_total: Count


@dataclass(frozen=True, slots=True)
class RateLine:
    """The present rate of a source, in bytes a second."""

    name: str
    speed: Count
    connections: Count


@dataclass(frozen=True, slots=True)
class SourcesLine:
    """The present rate of each source."""

    event: Literal["sources"]
    sources: tuple[RateLine, ...]


@dataclass(frozen=True, slots=True)
class FlippedLine:
    """A model whose ref was written."""

    event: Literal["flipped"]
    model: str
    snapshot: str
    old_commit: str | None
    new_commit: str
    version: str | None


@dataclass(frozen=True, slots=True)
class ForeseenLine:
    """A deed of `serve` because of a forecast, or a reason against one; `model` is empty where it is about all."""

    event: Literal["foreseen"]
    model: str
    deed: str
    why: str
    bytes: int


@dataclass(frozen=True, slots=True)
class EvictedLine:
    """A revision that was removed to make room."""

    event: Literal["evicted"]
    model: str
    bytes_freed: int


@dataclass(frozen=True, slots=True)
class WarningLine:
    """A notice."""

    event: Literal["warning"]
    code: str
    message: str
    mirror: str | None
    file: str | None


@dataclass(frozen=True, slots=True)
class PeersLine:
    """The nodes of the fleet that share this run now, and those that have left; `address` is where they reach this
    one."""

    event: Literal["peers"]
    address: str
    nodes: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StayingLine:
    """All is here, and the run stays for these nodes, `seconds` at most."""

    event: Literal["staying"]
    nodes: tuple[str, ...]
    seconds: Count


@dataclass(frozen=True, slots=True)
class FleetLine:
    """Something that goes as it should in a fleet. `is_idle`: nothing is fetched here from now on, until `queued`."""

    event: Literal["fleet"]
    code: str
    message: str
    is_idle: bool


Line = (
    ProgressLine
    | PhaseLine
    | PlannedLine
    | QueuedLine
    | SourcesLine
    | FlippedLine
    | EvictedLine
    | ForeseenLine
    | WarningLine
    | PeersLine
    | StayingLine
    | FleetLine
)


def line_of(event: Event) -> Line:
    """An event as a line of `--progress json`."""
    match event:
        case FileProgress(digest, name, phase, done, total, speed, connections):
            return ProgressLine("progress", name, str(digest), phase, done, total, speed, connections)
        case ModelPhase(model, phase):
            return PhaseLine("phase", model, phase)
        case ModelPlanned() | Queued():
            return _of_plan(event)
        case SourceRates(sources):
            return SourcesLine("sources", tuple(RateLine(name, round(speed), count) for name, speed, count in sources))
        case Flipped(model, snapshot, old, new, version):
            return FlippedLine("flipped", model, str(snapshot), old, new, version)
        case Evicted() | Foreseen():
            return _of_cache(event)
        case PeersKnown() | Staying() | FleetNews():
            return _of_peers(event)
        case Notice(code, message, mirror, file):
            return WarningLine("warning", code, redacted(message), mirror, file)


def _of_cache(event: Evicted | Foreseen) -> EvictedLine | ForeseenLine:
    if isinstance(event, Evicted):
        return EvictedLine("evicted", event.model, event.size)
    return ForeseenLine("foreseen", event.model, event.deed, redacted(event.why), event.size)


def _of_plan(event: ModelPlanned | Queued) -> PlannedLine | QueuedLine:
    if isinstance(event, Queued):
        return QueuedLine("queued", event.files, event.bytes_total)
    return PlannedLine("planned", event.model, sum(event.blobs.values()), sum(event.missing.values()))


def _of_peers(event: PeersKnown | Staying | FleetNews) -> PeersLine | StayingLine | FleetLine:
    if isinstance(event, PeersKnown):
        return PeersLine("peers", event.address, event.nodes, event.left)
    if isinstance(event, FleetNews):
        return FleetLine("fleet", event.code, redacted(event.message), event.is_idle)
    return StayingLine("staying", event.nodes, event.seconds)
