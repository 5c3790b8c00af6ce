"""Other sites around this one, as a plan sees them: what is theirs to fetch first, and what they fetch now."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core.extents import Range
from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.control.scheduling.state import FleetState
from orchestrator.swarm.rendezvous import first_pieces, ranking
from orchestrator.swarm.units import Bits, piece_count, pieces_of, unit_bytes
from orchestrator.swarm.view import BlobView

SIGN = "@"
"""Begins the name of a scheduler that stands for a whole site: it gives a sign of life while a link to it lives."""
_BEGINNING = 8
"""Units of a blob that a site brings before it takes the silence of the others for a sign that they fetch none."""


@dataclass(frozen=True, slots=True)
class Around:
    """`own` is the name of this site, `others` are those that it hears of now, with these `nodes`; those of
    `unreachable` sites are of no use here. `brings` has the units that nodes of others fetch from an origin now, as
    bytes, by their word: they may be of what no file here is as long as."""

    own: str = ""
    others: tuple[str, ...] = ()
    nodes: frozenset[str] = frozenset()
    unreachable: frozenset[str] = frozenset()
    brings: Mapping[Digest, Sequence[Range]] = field(default_factory=dict)

    @classmethod
    def of(cls, state: FleetState, own: str, unreachable: frozenset[str]) -> Around:
        """The sites around the one of this name, by the state of its fleet."""
        signs = (name.removeprefix(SIGN) for name in state.schedulers if name.startswith(SIGN))
        others = frozenset(signs) - unreachable
        if not others:
            return cls(own, unreachable=unreachable)
        theirs = {name: record.fact for name, record in state.nodes.items() if record.fact.site in others}
        brings: dict[Digest, list[Range]] = {}
        for unit in (unit for fact in theirs.values() for unit in fact.brings):
            brings.setdefault(unit.digest, []).append((unit.start, unit.end))
        return cls(own, tuple(sorted(others)), frozenset(theirs), unreachable, brings)

    def shown(self, blob: BlobView) -> BlobView:
        """The blob with what other sites fetch of it.

        Of a blob that several sites fetch each begins with units of its own, which a hash chooses. As long as it may
        not have heard yet that another one begins, too, it leaves the units of that one alone.
        """
        if not self.others:
            return blob
        brings = self.brings.get(blob.digest, ())
        elsewhere = pieces_of(blob.size, brings).mask
        theirs = _of_others(self.own, self.others, blob.digest, blob.size)
        brought = functools.reduce(operator.or_, (bits.mask for bits in blob.have.values()), 0)
        if elsewhere or any(node in self.nodes for node in blob.have.keys() - blob.holders):
            # What the others are about to lease next is left to them: the news of that come late.
            each = unit_bytes(blob.size) // PIECE
            soon = first_pieces(theirs & ~(brought | elsewhere), len(brings) * each)
            return replace(blob, elsewhere=elsewhere | soon, later=theirs & ~soon)
        left = Bits.full(piece_count(blob.size)).mask & ~(brought | theirs)
        is_young = left and brought.bit_count() * PIECE < _BEGINNING * unit_bytes(blob.size)
        return replace(blob, elsewhere=theirs) if is_young else blob


ALONE = Around()


@functools.lru_cache(maxsize=4096)
def _of_others(own: str, others: tuple[str, ...], digest: Digest, size: int) -> int:
    """The pieces of a blob that another site fetches first, as a mask."""
    each = unit_bytes(size) // PIECE
    pieces = piece_count(size)
    owners = ranking((own, *others), digest, -(-pieces // each))
    theirs = (unit * each for unit, (owner, *_) in enumerate(owners) if owner != own)
    return sum(((1 << min(each, pieces - first)) - 1) << first for first in theirs)
