"""Messages between nodes and schedulers, and the state of tasks: values only. `codec` makes protobuf of them.

Sizes are bytes, rates bytes per second. A node numbers what it says from 1, by its epoch; what was heard before counts
once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.files import Digest
from orchestrator.swarm.holdings import Peer
from orchestrator.swarm.view import NodeState

MOST_TEXT = 512
"""Characters of an address, a zone, and whatever else a node or a site says of itself."""
MOST_LOCK = 32 << 20
"""Bytes of a task's lock file."""

# -- from nodes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """The first words of a node on each connection. Its `epoch` grows with each start. `takes_tasks`: it takes those
    whose selector matches it, else only what it joins. `leases` are those that it still works on.
    `cache`: nodes that share a cache say the same."""

    node: str
    epoch: int
    address: str
    zone: str = ""
    shares_restricted: bool = False
    takes_tasks: bool = False
    leases: tuple[str, ...] = ()
    cache: str = ""


@dataclass(frozen=True, slots=True)
class Join:
    """The node fetches what a task lists, whatever the task's selector."""

    task: str


@dataclass(frozen=True, slots=True)
class BlobProgress:
    """A blob at the node: all its checked pieces as `bytes` of `Bits` has them."""

    digest: Digest
    checked: bytes
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class LeaseProgress:
    """The bytes that were brought of a lease, and how fast."""

    lease: str
    done: int
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A sign of life, with the blobs of which the node has more or less than before, and its leases."""

    blobs: tuple[BlobProgress, ...] = ()
    leases: tuple[LeaseProgress, ...] = ()
    is_starving: bool = False


@dataclass(frozen=True, slots=True)
class HeldUnit:
    """A lease is done: its unit of a blob is checked, or its bundle is there."""

    lease: str


@dataclass(frozen=True, slots=True)
class FailedWork:
    """The end of a lease: the node cannot fetch what was leased; `code` is that of the error."""

    lease: str
    code: str


@dataclass(frozen=True, slots=True)
class WrongPiece:
    """`sender`, a node, sent a piece that is not what its publisher says."""

    digest: Digest
    piece: int
    sender: str


@dataclass(frozen=True, slots=True)
class OriginBusy:
    """An origin (a kind of site, as lock files have it) wants to be left alone for so many seconds."""

    host: str
    seconds: int


class NodePhase(StrEnum):
    """The phase of a node in a task."""

    WAITING = "waiting"
    FETCHING = "fetching"
    PLACED = "placed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TaskReport:
    """The state of a task at a node: `done` bytes of it are there, `from_origin` came from outside of the fleet, and
    `senders` has the bytes of each peer. `code` is that of the error when it FAILED."""

    task: str
    phase: NodePhase
    code: str = ""
    done: int = 0
    from_origin: int = 0
    from_peers: int = 0
    senders: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bye:
    """The node leaves: its leases are free at once."""


FromNode = Hello | Join | Progress | HeldUnit | FailedWork | WrongPiece | OriginBusy | TaskReport | Bye

# -- from schedulers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to `Hello`: how many milliseconds are between two `Progress`, and the last number that was heard."""

    scheduler: str
    beat: int = 1000
    seen: int = 0


@dataclass(frozen=True, slots=True)
class TaskLock:
    """A task for the node: the text of its lock file. `is_restricted`: its files are gated or private. `seal`: see
    `access.sealed`."""

    task: str
    lock: str
    priority: int = 0
    is_restricted: bool = False
    seal: str = ""


@dataclass(frozen=True, slots=True)
class TaskCancelled:
    """The node is to stop a task."""

    task: str


@dataclass(frozen=True, slots=True)
class Assign:
    """The node is to fetch from an origin for all: the bytes `start` up to `end` of a unit of `digest`, or the whole
    small blobs of `bundle`."""

    lease: str
    digest: Digest | None = None
    unit: int = 0
    start: int = 0
    end: int = 0
    bundle: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True)
class RevokedLease:
    """Another node fetches it now."""

    lease: str


@dataclass(frozen=True, slots=True)
class PeersToAsk:
    """All peers that the node is to ask, in the place of those of before."""

    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class Shunned:
    """Nodes from which nothing is to be taken."""

    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DrainOrder:
    """The node gets no more work. Told again with `may_leave` when others have what it alone had."""

    may_leave: bool = False


FromScheduler = Welcome | TaskLock | TaskCancelled | Assign | RevokedLease | PeersToAsk | Shunned | DrainOrder

# -- tasks and nodes, for who watches ----------------------------------------------------------------------------------


class TaskState(StrEnum):
    """UNLISTED: nobody has given its lock file yet. PARTIAL: it has ended, and some nodes failed."""

    UNLISTED = "unlisted"
    SUBMITTED = "submitted"
    RUNNING = "running"
    DONE = "done"
    PARTIAL = "partial"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        """True when nothing becomes of it any more."""
        return self in (TaskState.DONE, TaskState.PARTIAL, TaskState.CANCELLED)


LEFT = "left"
"""The code of a node that FAILED by going before it had said how it ended."""
ELSEWHERE = "elsewhere"
"""The code of work of which nothing comes at the node: another process fetches it into the same cache."""
KNOWN = "task:"
"""Begins the key of a task that is known by its id: who is at it submits it to schedulers that have forgotten it."""
_KNOWN = re.compile(rf"{KNOWN}[0-9a-f]{{16}}")


def task_of(key: str) -> str:
    """The id of the task of an idempotency key."""
    if _KNOWN.fullmatch(key):
        return key.removeprefix(KNOWN)
    return hashlib.sha256(key.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Submission:
    """A wish for a task. The same `key` is the same task, for a day. `selector`: patterns of nodes' names, or
    `zone=PATTERN`, separated by commas; empty: only nodes that join it. Without `lock` the task of that key is asked
    for, by `node`. `seal`: see `access.sealed`."""

    key: str
    name: str
    selector: str = ""
    priority: int = 0
    lock: str = ""
    node: str = ""
    is_restricted: bool = False
    seal: str = ""


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """A task as it is now. `size` is that of its distinct blobs. `is_lock_yours`: the one who asked is to make its
    lock file, and to submit it under the same key. `nodes` has the last report of each node. `is_restricted`: its files
    are gated or private."""

    id: str
    name: str
    state: TaskState
    size: int = 0
    egress: int = 0
    nodes: Mapping[str, TaskReport] = field(default_factory=dict)
    is_lock_yours: bool = False
    is_restricted: bool = False


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node as it is now; `silent` is how many seconds ago it gave a sign of life. `rate` is that of what it fetches
    for all, `held` the checked bytes that it has of what the tasks list. `site`: where it is connected, as
    far as sites have names."""

    id: str
    epoch: int
    seq: int
    address: str
    state: NodeState
    zone: str = ""
    silent: float = 0.0
    leases: int = 0
    rate: int = 0
    held: int = 0
    site: str = ""
