"""Blobs and bundles as a planner sees them: which pieces nobody has, and the work of fetching them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import xxhash

from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.units import Bits, Unit, piece_count, unit_bytes
from orchestrator.swarm.view import BlobView, BundleView, FleetView, GoodView, Lease, Work

Key = Digest | tuple[str, int]
"""What a good is called: the digest of a blob, the task and the number of a bundle."""


@dataclass(frozen=True, slots=True)
class Good:
    """A blob or a bundle: `pieces` is how many it has (those of a bundle are its files), `each` how many of them are a
    unit, and `missing` a mask of those that no node has whose word counts."""

    view: GoodView
    pieces: int
    each: int
    missing: int

    @classmethod
    def of(cls, view: GoodView, fleet: FleetView, trusted: frozenset[str]) -> Good:
        """The good, and the pieces of it that are missing in this fleet."""
        if isinstance(view, BlobView):
            pieces, each = piece_count(view.size), unit_bytes(view.size) // PIECE
        else:
            pieces = each = len(view.bundle.digests)
        return cls(view, pieces, each, Bits.full(pieces).mask & ~there(view, fleet, trusted))

    @property
    def key(self) -> Key:
        """The name of it."""
        return self.view.digest if isinstance(self.view, BlobView) else (self.view.bundle.task, self.view.bundle.index)

    @property
    def unit(self) -> int:
        """The bytes of one unit."""
        return self.each * PIECE if isinstance(self.view, BlobView) else self.view.bundle.size

    def mask(self, work: Work) -> int:
        """The pieces of the unit that this work is of."""
        return Bits.full(self.pieces).mask & ((1 << self.each) - 1) << self._index(work) * self.each

    def is_whole(self, node: str) -> bool:
        """True if this node has all of it."""
        return is_whole(self.view, node)

    def is_there(self, lease: Lease) -> bool:
        """True if nothing of this work is missing any more."""
        return not self.missing & self.mask(lease.work)

    def is_of_others(self, lease: Lease) -> bool:
        """True if nothing of this work is missing, but the node that leased it does not have it all."""
        mine = self.view.have.get(lease.node)
        return self.is_there(lease) and bool(self.mask(lease.work) & ~(mine.mask if mine else 0))

    def is_elsewhere(self, lease: Lease) -> bool:
        """True if another site fetches this work, too, and it is that one's to fetch."""
        if not isinstance(self.view, BlobView):
            return False
        return bool(self.mask(lease.work) & self.view.elsewhere & self.view.later)

    def works(self, taken: int) -> Iterator[Work]:
        """The work of which a piece is missing, in order, without units that have a piece of the mask `taken`, or of
        those that another site fetches. What is another site's to begin with comes last, and from its end."""
        elsewhere, later = (self.view.elsewhere, self.view.later) if isinstance(self.view, BlobView) else (0, 0)
        left = self.missing & ~(taken | elsewhere)
        while left:
            own = left & ~later
            work = self._work((_first(own) if own else left.bit_length() - 1) // self.each)
            left &= ~self.mask(work)
            yield work

    def _work(self, index: int) -> Work:
        """A unit, from the first piece of it that is missing to the last; what others have is not fetched again."""
        if isinstance(self.view, BundleView):
            return self.view.bundle
        lacks = self.missing & ((1 << self.each) - 1) << index * self.each
        return Unit(self.view.digest, index, _first(lacks) * PIECE, min(self.view.size, lacks.bit_length() * PIECE))

    def _index(self, work: Work) -> int:
        return work.index if isinstance(self.view, BlobView) else 0


def is_whole(view: GoodView, node: str) -> bool:
    """True if this node has all of it; a blob only when it is proven."""
    if isinstance(view, BlobView):
        return node in view.holders
    found = view.have.get(node)
    return found is not None and found.is_full


def there(view: GoodView, fleet: FleetView, nodes: frozenset[str]) -> int:
    """The pieces that these nodes have together and may share."""
    if isinstance(view, BlobView) and any(_shares(view, fleet, node) for node in view.holders & nodes):
        return Bits.full(piece_count(view.size)).mask
    found = 0
    for node, bits in view.have.items():
        if node in nodes and _shares(view, fleet, node):
            found |= bits.mask
    return found


def _shares(view: GoodView, fleet: FleetView, node: str) -> bool:
    return not view.is_restricted or fleet.nodes[node].shares_restricted


def size_of(work: Work) -> int:
    """The bytes of some work."""
    return work.end - work.start if isinstance(work, Unit) else work.size


@lru_cache(maxsize=1 << 17)
def order(*words: object) -> int:
    """The place of a thing in an order that is the same for everybody, and has no pattern."""
    return xxhash.xxh3_64_intdigest("|".join(map(str, words)).encode())


def _first(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
