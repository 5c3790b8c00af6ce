"""The view that a planner has of a fleet, and the actions that it decides on: values only.

Times are seconds of one clock, whichever the caller has; rates are bytes per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.files import Digest
from orchestrator.swarm.units import Bits, Unit

MOST_BUNDLE = 16 << 20
"""Bytes of small files that are leased together."""


class NodeState(StrEnum):
    """JOINING: it has said nothing yet of what it has. LOST: its beat is too old. DRAINING: it gets no new work, and
    leaves once others hold what it alone has."""

    JOINING = "joining"
    READY = "ready"
    DRAINING = "draining"
    LOST = "lost"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Small files of a task that are leased as one: their digests, and the sum of their bytes."""

    task: str
    index: int
    digests: tuple[Digest, ...]
    size: int


Work = Unit | Bundle
"""What one node fetches from an origin for all."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Work that a node was given at `since`; `moved` is when it last brought bytes, `done` how many of them, `rate` how
    fast."""

    id: str
    work: Work
    node: str
    since: float
    moved: float
    done: int = 0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as its last report tells it. `beat`: when that came. `up` and `down` are its rates, 0 when unknown;
    `uploads` how many bodies it sends at once. `shares_restricted`: it may have blobs of gated repos from peers."""

    id: str
    epoch: int
    seq: int
    address: str
    state: NodeState
    beat: float
    zone: str = ""
    up: float = 0.0
    down: float = 0.0
    uploads: int = 16
    shares_restricted: bool = False


@dataclass(frozen=True, slots=True)
class BlobView:
    """A blob that some task wants. `have`: the checked pieces of each node. `wanted_by`: the nodes that are to get it.
    `accused`: those of whom somebody says that they sent altered bytes, and by whom."""

    digest: Digest
    size: int
    have: Mapping[str, Bits] = field(default_factory=dict)
    holders: frozenset[str] = frozenset()
    leases: tuple[Lease, ...] = ()
    held: Bits = field(default_factory=lambda: Bits(0))
    wanted_by: frozenset[str] = frozenset()
    accused: Mapping[str, frozenset[str]] = field(default_factory=dict)
    host: str = ""


@dataclass(frozen=True, slots=True)
class FleetView:
    """All that a plan is made of. `slots` is how many connections each origin host still allows."""

    nodes: Mapping[str, NodeView]
    blobs: Mapping[Digest, BlobView]
    bundles: tuple[Bundle, ...] = ()
    slots: Mapping[str, int] = field(default_factory=dict)
