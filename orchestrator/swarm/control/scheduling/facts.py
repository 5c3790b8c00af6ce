"""Facts: what schedulers tell each other on the board. `fact_codec` makes registers of them.

Times are not among the facts: who hears of one notes when, by its own clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.control.messages import LeaseProgress, TaskReport
from orchestrator.swarm.units import Bits, Unit
from orchestrator.swarm.view import NodeState


@dataclass(frozen=True, slots=True)
class NodeFact:
    """A node as it says that it is, and what `scheduler` knows of it that it is connected to. `stalls`: how often it
    lost leases of which nothing came, since it last brought all of one.

    One of another `site` is connected there, and is as that site tells it: it gets no work from here. `brings`: what it
    fetches from an origin now."""

    node: str
    epoch: int
    scheduler: str
    seq: int
    state: NodeState
    address: str
    zone: str = ""
    shares_restricted: bool = False
    takes_tasks: bool = False
    starves: bool = False
    pace: int = 0
    stalls: int = 0
    joined: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    leases: tuple[LeaseProgress, ...] = ()
    site: str = ""
    brings: tuple[Unit, ...] = ()
    cache: str = ""

    @property
    def place(self) -> str:
        """Its zone, within its site if that is another one: SITE/ZONE."""
        return "/".join(filter(None, (self.site, self.zone)))

    def is_chosen(self, words: Iterable[str]) -> bool:
        """True if one of these patterns, of a selector, is of it or of its zone."""
        return any(
            fnmatchcase(self.zone, word.removeprefix("zone="))
            if word.startswith("zone=")
            else fnmatchcase(self.node, word)
            for word in words
        )


@dataclass(frozen=True, slots=True)
class SchedulerFact:
    """A sign of life of a scheduler."""

    name: str


@dataclass(frozen=True, slots=True)
class DrainFact:
    """A node is to leave, as it is since it began with this epoch."""

    node: str
    epoch: int


@dataclass(frozen=True, slots=True)
class LockFact:
    """A task: what was submitted under a key, with the text of the lock file and the seal of who made it. `at`: when,
    in milliseconds since 1970 by the clock of the scheduler that took it; people want to see the newest one, and
    nothing else follows from it."""

    task: str
    name: str
    selector: str
    priority: int
    is_restricted: bool
    lock: str
    seal: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class ClaimFact:
    """A node makes the lock file of a task."""

    task: str
    node: str


@dataclass(frozen=True, slots=True)
class CancelFact:
    """A task is to end."""

    task: str


@dataclass(frozen=True, slots=True)
class ReportFact:
    """The last report of a node about a task."""

    node: str
    epoch: int
    report: TaskReport


@dataclass(frozen=True, slots=True)
class FilesFact:
    """The small files of a task that a node has, by their place among the small files of its lock."""

    task: str
    node: str
    epoch: int
    files: Bits


@dataclass(frozen=True, slots=True)
class HaveFact:
    """The checked pieces of a blob at a node. `is_whole`: it has it proven."""

    digest: Digest
    size: int
    node: str
    epoch: int
    checked: Bits
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class LeaseFact:
    """The lease of a unit, or of a bundle where `good` is a task: bytes `start` up to `end` by `node` in its `epoch`.
    Nobody's when it has no node."""

    good: Digest | str
    index: int
    id: str
    node: str
    epoch: int = 0
    start: int = 0
    end: int = 0

    @property
    def pieces(self) -> int:
        """The pieces of the blob that it touches, as the mask of `Bits`."""
        first, last = self.start // PIECE, -(-self.end // PIECE)
        return ((1 << max(0, last - first)) - 1) << first


@dataclass(frozen=True, slots=True)
class RestFact:
    """An origin wants to be left alone for so many seconds from now on, says a node."""

    host: str
    seconds: int
    node: str = ""


@dataclass(frozen=True, slots=True)
class AccusationFact:
    """`sender`, a node, sent altered bytes of a blob, says `by`."""

    digest: Digest
    by: str
    sender: str


Fact = (
    NodeFact
    | SchedulerFact
    | DrainFact
    | LockFact
    | ClaimFact
    | CancelFact
    | ReportFact
    | FilesFact
    | HaveFact
    | LeaseFact
    | RestFact
    | AccusationFact
)
