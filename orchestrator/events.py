"""Events of a run for its observers. Emitters know no observer; bar, lines and JSON subscribe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrator.core.files import Digest


class Phase(StrEnum):
    """The phase of a model or a file."""

    RESOLVING = "resolving"
    CHECKING = "checking"
    WAITING = "waiting"  # for another run on this cache, which is fetching the same file
    FETCHING = "fetching"
    HASHING = "hashing"  # what lies in the cache, for `verify`
    VERIFYING = "verifying"
    PLACING = "placing"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelPhase:
    """A model entered a phase."""

    model: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class ModelPlanned:
    """The plan of a model is made: its distinct blobs with their sizes, and those of them that have to be fetched."""

    model: str
    blobs: Mapping[Digest, int]
    missing: Mapping[Digest, int]


@dataclass(frozen=True, slots=True)
class Queued:
    """The plan is made: what will be fetched, or whatever else is to be done with it (a verb)."""

    files: int
    bytes_total: int
    to: str = "fetch"


@dataclass(frozen=True, slots=True)
class FileProgress:
    """A blob entered `phase` or moved within it. `done` and `total` are bytes; `done` may go back after a bad part.

    `speed` is bytes per second, of a transfer as aria2 sees it now, `connections` how many are open.
    """

    digest: Digest
    name: str
    phase: Phase
    done: int
    total: int
    speed: int = 0
    connections: int = 0


@dataclass(frozen=True, slots=True)
class SourceRates:
    """The present rate of each source: its name, bytes per second, open connections. `sent`: the bytes that came from
    each of them since the transfer began, also those that were of no use."""

    sources: tuple[tuple[str, float, int], ...]
    sent: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know that did not stop the run; becomes an entry of `warnings` in the JSON."""

    code: str
    message: str
    mirror: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Flipped:
    """A model's snapshot is whole, and its ref is written: readers find `new` from now on.

    `old` is the commit that the ref stood for before; None when there was none, or the revision is a commit itself.
    `version` is what the registry of the model calls `new`, where it has one.
    """

    model: str
    snapshot: Path
    old: str | None
    new: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Evicted:
    """A revision was removed to make room. `model` names it by its commit; `size` are the bytes that this freed."""

    model: str
    size: int


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A deed of `serve` because of a forecast, or a reason against one: `deed` is a verb, `why` a sentence for people,
    `size` bytes. `model` is the ref that a forecast has, empty where it is about all of them."""

    model: str
    deed: str
    why: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class PeersKnown:
    """The peers that share this run now, by the names of their nodes, and those that have `left` since this was told
    last; `address` is where they reach this node."""

    address: str
    nodes: tuple[str, ...]
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Staying:
    """All is here, and the run stays for these nodes, `seconds` at most: they need what only this one has."""

    nodes: tuple[str, ...]
    seconds: int


@dataclass(frozen=True, slots=True)
class FleetNews:
    """Something that goes as it should in a fleet, in words for people; `code` says of what. `is_idle`: nothing is
    fetched here from now on, until files are queued again."""

    code: str
    message: str
    is_idle: bool = False


Event = (
    ModelPhase
    | ModelPlanned
    | Queued
    | FileProgress
    | SourceRates
    | Notice
    | Flipped
    | Evicted
    | Foreseen
    | PeersKnown
    | Staying
    | FleetNews
)
Emit = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """An `Emit` for callers that want no events."""
