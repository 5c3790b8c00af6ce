"""The ledger of one blob: which pieces arrived from whom, which hashes are published, and what that makes of them.

Pure: no file is read here. The driver has `to_hash` hashed, tells what was `found`, and takes back what is
`wrong`. A piece that came from origins alone is what this node publishes. One of which a peer sent something must have
the published hash, and waits until that is known. If it has another one, the peer altered it, unless it said before
that it has this very hash: then two nodes disagree, and the piece stays, but is not passed on. Where several sent it,
nobody can tell who did, and it is to come from one of them `alone`. What the whole blob's proof says is above all, and
shows who published something else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from orchestrator.core.extents import Extent, Extents, Ranges, union
from orchestrator.core.files import Digest
from orchestrator.core.sources import node_of, source_of
from orchestrator.swarm.holdings import Holding, PieceHash
from orchestrator.swarm.units import Bits, Piece, piece_count, piece_range, pieces_of, pieces_within

_AND = " and "
"""Between the names of origins that sent a piece together."""


class Weight(IntEnum):
    """The weight of a published hash: a node's word about another, about what it fetched itself, this node's own, and
    that of a node that has the blob proven, in a dispute."""

    HEARSAY = 0
    DIRECT = 1
    OWN = 2
    PROVEN = 3


@dataclass(frozen=True, slots=True)
class Altered:
    """A piece that a peer altered: what it sent, or the hash that it published as its own."""

    piece: Piece
    peer: str


@dataclass(slots=True)
class _Published:
    hash: PieceHash
    weight: Weight
    version: int


class PieceLedger:
    """The pieces of a blob at the node of this name. Not thread-safe.

    `next_version` gives the number of the next change; `version` is that of the last one here.
    """

    def __init__(self, digest: Digest, size: int, node: str, next_version: Callable[[], int]) -> None:
        self._digest, self._size, self._node = digest, size, node
        self._next_version = next_version
        none = Bits(piece_count(size))
        self._arrived = self._hashed = none
        self._found: dict[Piece, bytes] = {}
        self._senders: dict[Piece, tuple[str, ...]] = {}
        self._accepted: dict[Piece, PieceHash] = {}  # the last word that spoke for what is here
        self._said: dict[str, dict[Piece, PieceHash]] = {}
        self._trusted: str | None = None
        self._claims: frozenset[str] = frozenset()
        self._published: dict[Piece, _Published] = {}  # the last one that changed is the last
        self.checked = self.wrong = self.alone = self._contested = none
        self.is_whole = False
        self.version = next_version()

    # -- what happens

    def arrive(self, arrived: Extents) -> None:
        """This is in the part now."""
        items = arrived.items
        fresh = pieces_within(self._size, union((item.start, item.end) for item in items)) - self._arrived
        if not fresh:
            return
        starts = [item.start for item in items]
        for piece in fresh:
            start, end = piece_range(self._size, piece)
            at = max(0, bisect_right(starts, start) - 1)
            names: dict[str, None] = {}
            while at < len(items) and items[at].start < end:
                names[items[at].source] = None
                at += 1
            self._senders[piece] = tuple(names)
        self._arrived |= fresh

    def replace(self, ranges: Ranges) -> None:
        """The bytes of these ranges count for nothing, and their hashes are no longer published by this node."""
        gone = pieces_of(self._size, ranges) & self._arrived
        if not gone:
            return
        for piece in gone:
            self._senders.pop(piece, None)
            self._found.pop(piece, None)
            self._accepted.pop(piece, None)
            known = self._published.get(piece)
            if known is not None and known.weight is Weight.OWN:
                del self._published[piece]
        self._arrived, self._hashed = self._arrived - gone, self._hashed - gone
        self.wrong, self._contested = self.wrong - gone, self._contested - gone
        self.is_whole = False
        self._check(self.checked - gone)

    def found(self, piece: Piece, hash_: bytes) -> Altered | None:
        """The piece that is in the part has this hash. Who altered it, if that is sure."""
        self._found[piece] = hash_
        self._hashed |= Bits.of(self._hashed.count, [piece])
        return self._judge(piece)

    def hear(self, teller: str, piece: Piece, told: PieceHash) -> Altered | None:
        """A peer says that the piece has this hash. The first word counts, unless a stronger one comes, or its node
        publishes another one. As `found`."""
        if self.is_whole:
            return None
        self._said.setdefault(teller, {})[piece] = told
        if told.node != self._node:
            self._weigh(piece, told, Weight.DIRECT if told.node == teller else Weight.HEARSAY)
        return self._judge(piece)

    def distrust(self, trusted: str) -> Extents:
        """The whole blob is wrong: what no word of the `trusted` source speaks for, and whom to blame for it, "" where
        that is not known. From now on only its words count, and those of nodes that have the blob proven, which name no
        source."""
        self._trusted = trusted
        doubted: list[Extent] = []
        for piece in self._arrived:
            blamed = self._blamed(piece)
            if blamed != trusted:
                start, end = piece_range(self._size, piece)
                doubted.append(Extent(start, end, blamed))
        for piece in [piece for piece, known in self._published.items() if not self._counts(known.hash)]:
            del self._published[piece]
        return Extents.of(doubted)

    def foreign(self) -> Extents:
        """All that did not come from the trusted source itself, in a dispute, and whom to blame for it."""
        found = [piece for piece in self._arrived if self._senders.get(piece) != (self._trusted,)]
        return Extents.of([Extent(*piece_range(self._size, piece), self._guilty(piece)) for piece in found])

    def repair(self, holder: str, trusted: str) -> Extents | None:
        """The whole blob is wrong, and this peer has it proven: what differs from its list of hashes, and whom to blame
        for it. From now on that list counts. None when it has not told all of it."""
        words = self._said.get(holder, {})
        proven = {piece: word for piece, word in sorted(words.items()) if word == PieceHash(word.hash, holder, "")}
        if len(proven) < self.checked.count:
            return None
        self._trusted = trusted
        wrong = [piece for piece, word in proven.items() if self._found.get(piece, word.hash) != word.hash]
        found = Extents.of([Extent(*piece_range(self._size, piece), self._guilty(piece)) for piece in wrong])
        if wrong:
            for piece, word in proven.items():
                self._publish(piece, word, Weight.PROVEN)
        return found

    def dispute(self, claims: frozenset[str]) -> None:
        """The whole blob was wrong somewhere, and these nodes claim to settle that. Who has it proven tells all its
        hashes then."""
        if claims == self._claims:
            return
        self._claims = claims
        self.version = self._next_version()
        if self.is_whole:
            for piece in self._found:
                self._judge(piece)

    def prove(self) -> Sequence[Altered]:
        """The whole blob has its digest. Who published other hashes of what was hashed by now, in the name of the
        source that was right."""
        if self.is_whole:
            return ()
        self.is_whole = True
        self.wrong = self.alone = self._contested = Bits(self.checked.count)
        self._arrived = Bits.full(self.checked.count)
        found = [self._judge(piece) for piece in self._found]
        self._check(self._arrived)
        self.version = self._next_version()
        return [one for one in found if one is not None]

    # -- what that makes of it

    @property
    def to_hash(self) -> Bits:
        """The pieces that arrived and are not hashed."""
        return self._arrived - self._hashed

    def has(self, start: int, end: int) -> bool:
        """True when all pieces of these bytes are checked."""
        return 0 <= start < end <= self._size and not pieces_of(self._size, [(start, end)]) - self.checked

    def holding(self, after: int) -> Holding:
        """All that is checked, and the hashes that were published after this version."""
        hashes: dict[Piece, PieceHash] = {}
        for piece in reversed(self._published):
            known = self._published[piece]
            if known.version <= after:
                break
            hashes[piece] = known.hash
        return Holding(self._digest, self._size, self.checked, self.is_whole, hashes, self._claims)

    def _judge(self, piece: Piece) -> Altered | None:
        hash_ = self._found.get(piece)
        if hash_ is None:
            return None
        known, one = self._published.get(piece), Bits.of(self.checked.count, [piece])
        if self.is_whole:
            proven = PieceHash(hash_, self._node, "")
            if known is None or known.hash.hash != hash_ or (self._claims and known.hash != proven):
                self._publish(piece, proven, Weight.OWN)
            return next((Altered(piece, name) for name in self._said if self._forged(name, piece, hash_)), None)
        senders = self._senders.get(piece, ())
        if not any(map(node_of, senders)):
            if known is None or known.weight is Weight.HEARSAY or known.hash.hash != hash_:
                self._publish(piece, PieceHash(hash_, self._node, _AND.join(senders)), Weight.OWN)
            self._check(self.checked | one)
            return None
        if known is None:
            return None
        if known.hash.hash == hash_:
            self._accepted[piece] = known.hash
            self.alone, self.wrong, self._contested = self.alone - one, self.wrong - one, self._contested - one
            self._check(self.checked | one)
            return None
        # Who sent what was right by what was said then altered nothing.
        is_new = piece not in self.checked | self.wrong | self._contested
        self._check(self.checked - one)
        peer = node_of(senders[0])
        if len(senders) > 1 or peer is None:
            self.wrong, self.alone = self.wrong | one, self.alone | one
            return None
        said = self._said.get(peer, {}).get(piece)
        # In a dispute nodes fetch pieces again, and are asked for them before their new words have come.
        is_disputed = self._claims and known.weight is not Weight.PROVEN
        if is_disputed or (said is not None and said.hash == hash_):
            self._contested |= one
            return None
        self.wrong |= one
        return Altered(piece, peer) if is_new else None

    def _forged(self, name: str, piece: Piece, right: bytes) -> bool:
        """True if a node published another hash as that of what it had from the trusted source, or as proven."""
        word = self._said[name].get(piece)
        return word is not None and word.node == name and word.hash != right and word.source in ("", self._trusted)

    def _guilty(self, piece: Piece) -> str:
        """The source to blame for a piece; for one that a peer says to have of the trusted source, that peer."""
        blamed, word = self._blamed(piece), self._accepted.get(piece)
        return source_of(word.node) if word is not None and blamed == self._trusted else blamed

    def _blamed(self, piece: Piece) -> str:
        """The source that is the reason for what a piece is."""
        senders = self._senders.get(piece, ())
        if any(map(node_of, senders)):
            word = self._accepted.get(piece)
            if word is None:
                return ""
            senders = tuple((word.source or source_of(word.node)).split(_AND))
        return next((name for name in senders if name != self._trusted), self._trusted or "")

    def _counts(self, told: PieceHash) -> bool:
        return self._trusted is None or told.source in ("", self._trusted)

    def _weigh(self, piece: Piece, told: PieceHash, weight: Weight) -> None:
        if not self._counts(told):
            return
        known = self._published.get(piece)
        if known is None:
            self._publish(piece, told, weight)
        elif known.hash == told:
            known.weight = max(known.weight, weight)
        elif weight > known.weight or (weight is known.weight and known.hash.node == told.node):
            self._publish(piece, told, weight)

    def _publish(self, piece: Piece, told: PieceHash, weight: Weight) -> None:
        self._published.pop(piece, None)
        self.version = self._next_version()
        self._published[piece] = _Published(told, weight, self.version)

    def _check(self, checked: Bits) -> None:
        if checked != self.checked:
            self.checked = checked
            self.version = self._next_version()
