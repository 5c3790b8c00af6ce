"""The view that a planner has of a fleet, and the actions that it decides on: values only.

Times are seconds of one clock, whichever the caller has; rates are bytes per second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.files import Digest
from orchestrator.swarm.units import LEAST_UNIT, Bits, Unit

MOST_BUNDLE, MOST_IN_BUNDLE = 16 << 20, 512
"""Bytes of small files that are leased together, and how many files."""


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
    """Work that a node was given at `since`; `moved` is when it last brought bytes, `done` how many of them, and `rate`
    how fast in the last three seconds. As an action: to give it. The board then makes the `id`.

    A unit may begin later, or end earlier, than its number says: what others have of it is not fetched again.
    """

    id: str
    work: Work
    node: str
    since: float
    moved: float
    done: int = 0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as its last report tells it. `beat`: when that came. `shares_restricted`: it may have blobs of gated repos
    from peers.

    `pace`: how fast it fetched from origins while it had leases, of the last minute; 0 when unknown. `peers` is whom it
    was last told to ask, at `told`; `starves`: it says that it has found nothing to ask them for since. `rests_until`:
    it lost leases of which nothing came, and gets none before that where others can have them. `cache`: that of nodes
    that share one. `site`: where it is connected, if not here.
    """

    id: str
    epoch: int
    state: NodeState
    beat: float
    zone: str = ""
    shares_restricted: bool = False
    pace: float = 0.0
    rests_until: float = 0.0
    peers: tuple[str, ...] = ()
    told: float = 0.0
    starves: bool = False
    cache: str = ""
    site: str = ""

    @property
    def holder(self) -> str:
        """The name under which its bytes count: nodes that share a cache are one holder."""
        return self.cache or self.id


@dataclass(frozen=True, slots=True)
class BlobView:
    """A blob that some task wants. `have`: the checked pieces of each node; `holders` have it whole, proven.
    `wanted_by`: the nodes that are to get it, also when they have; `waiting`: those of them that do other work before,
    and so get no leases of it. `host` is that of the origin.

    `accused`: those of whom somebody says that they sent altered bytes, and by whom. `is_restricted`: of a gated repo.

    Where other sites fetch, too, `elsewhere` has the pieces that are left to them now, and `later` those that are
    theirs to fetch first: masks as in `Bits`.
    """

    digest: Digest
    size: int
    have: Mapping[str, Bits] = field(default_factory=dict)
    holders: frozenset[str] = frozenset()
    leases: tuple[Lease, ...] = ()
    wanted_by: frozenset[str] = frozenset()
    accused: Mapping[str, frozenset[str]] = field(default_factory=dict)
    host: str = ""
    is_restricted: bool = False
    waiting: frozenset[str] = frozenset()
    elsewhere: int = 0
    later: int = 0


@dataclass(frozen=True, slots=True)
class BundleView:
    """A bundle that some task wants, as `BlobView`. `have`: the files of it, by their place in `digests`, that each
    node holds."""

    bundle: Bundle
    have: Mapping[str, Bits] = field(default_factory=dict)
    leases: tuple[Lease, ...] = ()
    wanted_by: frozenset[str] = frozenset()
    accused: Mapping[str, frozenset[str]] = field(default_factory=dict)
    host: str = ""
    is_restricted: bool = False
    waiting: frozenset[str] = frozenset()


GoodView = BlobView | BundleView
"""What tasks want."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task that runs, and its blobs in the order in which it wants them. With a priority of one more it gets twice as
    much of an origin."""

    id: str
    priority: int = 0
    digests: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True)
class OriginView:
    """An origin host: `connections` that the whole fleet may have to it. It is left alone until `rests_until`, since it
    told somebody that it is asked too much."""

    connections: int = 32
    rests_until: float = 0.0


@dataclass(frozen=True, slots=True)
class FleetView:
    """All that a plan is made of. A blob of no task counts as one of a task of its own; a host that is not in `origins`
    counts as `OriginView()`."""

    nodes: Mapping[str, NodeView]
    blobs: Mapping[Digest, BlobView]
    bundles: tuple[BundleView, ...] = ()
    tasks: tuple[TaskView, ...] = ()
    origins: Mapping[str, OriginView] = field(default_factory=dict)

    @property
    def goods(self) -> tuple[GoodView, ...]:
        """All that tasks want."""
        return (*self.blobs.values(), *self.bundles)


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take this lease away. A `Lease` of the same work may follow. `is_stalled`: nothing came of it."""

    lease: Lease
    is_stalled: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Peers:
    """Tell a node which peers to ask from now on."""

    node: str
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evict:
    """Forget a node: it was lost for long, or it drained and nobody needs it."""

    node: str


FleetAction = Lease | Revoke | Peers | Evict


def bundles_of(
    task: str, files: Iterable[tuple[Digest, int]]
) -> tuple[tuple[Bundle, ...], tuple[tuple[Digest, int], ...]]:
    """Cut the files (digest and size) of a task: bundles of those smaller than a unit, and the rest, both in order."""
    bundles: list[Bundle] = []
    large: list[tuple[Digest, int]] = []
    digests: list[Digest] = []
    size = 0
    for digest, length in files:
        if length >= LEAST_UNIT:
            large.append((digest, length))
            continue
        if digests and (size + length > MOST_BUNDLE or len(digests) == MOST_IN_BUNDLE):
            bundles.append(Bundle(task, len(bundles), tuple(digests), size))
            digests, size = [], 0
        digests.append(digest)
        size += length
    if digests:
        bundles.append(Bundle(task, len(bundles), tuple(digests), size))
    return tuple(bundles), tuple(large)
