"""The choice among peers: whom to ask, and which piece to ask for next. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import xxhash

from orchestrator.core.extents import Ranges
from orchestrator.swarm.holdings import Peer
from orchestrator.swarm.units import Bits, Piece, piece_range, pieces_of


def chosen(me: str, zone: str, peers: Iterable[Peer], most: int, failing: Collection[str] = ()) -> tuple[Peer, ...]:
    """The peers that a node asks: those of its own zone first, and of others each node asks others. Those at the
    `failing` addresses come last."""

    def rank(peer: Peer) -> tuple[bool, bool, int]:
        weight = xxhash.xxh64_intdigest(f"{me}|{peer.node}|{peer.address}".encode())
        return peer.address in failing, peer.zone != zone, weight

    by_address = {peer.address: peer for peer in peers if peer.node != me}
    return tuple(sorted(by_address.values(), key=rank)[:most])


def rarest(size: int, free: Ranges, mine: Bits, offers: Iterable[Bits], roll: float) -> int | None:
    """The place in `free` to go on at, with a peer that has the pieces `mine`: in one that the fewest peers offer, by
    `roll` (0 to 1) where there are several. None when it has none of them."""
    candidates = pieces_of(size, free) & mine
    if not candidates:
        return None
    # Bit by bit: at_least[n] are the pieces that over n peers offer.
    at_least: list[Bits] = []
    for offer in offers:
        carry = offer & candidates
        for level, there in enumerate(at_least):
            at_least[level], carry = there | carry, there & carry
        if carry:
            at_least.append(carry)
    for level in range(1, len(at_least)):
        few = candidates - at_least[level]
        if few:
            candidates = few
            break
    start, end = piece_range(size, _one_of(candidates, roll))
    return next((max(start, first) for first, last in free if first < end and last > start), None)


def sole(digest: object, piece: Piece, nodes: Sequence[str]) -> str:
    """The one of these nodes that a piece is to come from: the same one whenever it is asked."""
    return max(nodes, key=lambda node: xxhash.xxh64_intdigest(f"{node}|{digest}|{piece}".encode()))


def only_from(node: str, digest: object, alone: Bits, offers: Mapping[str, Bits]) -> Bits:
    """Those of the pieces `alone` that are to come from another peer than this one, which offers them, too."""
    others: list[Piece] = []
    for piece in alone:
        nodes = [name for name, offer in offers.items() if piece in offer]
        if nodes and sole(digest, piece, nodes) != node:
            others.append(piece)
    return Bits.of(alone.count, others)


def _one_of(pieces: Bits, roll: float) -> Piece:
    start = int(roll * pieces.count)
    above = pieces.mask >> start << start or pieces.mask
    return (above & -above).bit_length() - 1
