"""Holdings: what a node has to give to its peers, in values and as a port.

    absent -> arrived (in the part, unproven) -> checked (has the published hash) -> proven (the blob has its digest)

Only checked pieces are passed on. A hash is published by who fetched the piece from an origin; who got it from a peer
compares before it offers the piece on. So what a peer altered stops at the first hop. Nothing is placed before the node
itself has hashed the whole blob: a forged hash costs time, never correctness.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.core.files import Digest
from orchestrator.swarm.units import Bits

MOST_HOLDINGS = 8192
"""Holdings that are told at once, and blobs that are asked for at once."""
MOST_ACCUSED = 256
"""Nodes that one node says to have sent it altered bytes."""
MOST_CLAIMS = 64
"""Claims of one blob that are kept, and passed on."""
MOST_HASHES = 1 << 18
"""Hashes of pieces that are told at once: those of a TiB."""
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_node_name(text: str) -> bool:
    """True for what may be the name of a node: letters, digits, `.`, `_`, `-`, at most 64 of them."""
    return _NODE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Peer:
    """A node that can be asked: its name (`is_node_name`), unique in the fleet, the address of its server
    (`http://HOST:PORT`), and the zone that it is in, "" for none."""

    node: str
    address: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class PieceHash:
    """xxh3_128 of a piece, as the node published it that fetched it from the origin source of this name."""

    hash: bytes
    node: str
    source: str


@dataclass(frozen=True, slots=True)
class Holding:
    """A blob at a node: its `checked` pieces, and the `hashes` of those whose publisher it knows. `is_whole`: the
    whole blob is proven there. A taken back piece is no longer in `checked`. `claims`: the blob was wrong as a whole
    somewhere, and these nodes say that they settle that (`swarm.sharing.settling`)."""

    digest: Digest
    size: int
    checked: Bits
    is_whole: bool = False
    hashes: Mapping[int, PieceHash] = field(default_factory=dict)
    claims: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HoldingNews:
    """The holdings of a node that changed after a version, and the `version` up to which they tell.

    At most MOST_HOLDINGS with MOST_HASHES in all: what is left over is told after that version. Each holding has all of
    its checked pieces, but only the hashes that it learnt after the version asked for. `accused` are all nodes that
    this one itself found to alter bytes, MOST_ACCUSED at most.
    """

    version: int
    holdings: Sequence[Holding]
    accused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Readable:
    """Checked bytes that can be read: the file they lie in, open for reading as `descriptor`, which the caller closes,
    and the size of the blob. `is_still_right` is asked after the read: False means that what was read counts for
    nothing, and must not be sent."""

    descriptor: int
    size: int
    is_still_right: Callable[[], bool]


class Holdings(Protocol):
    """All that this node has to give. Thread-safe; nothing blocks for longer than a look at the disk."""

    def news(self, after: int) -> HoldingNews:
        """The changes after this version; 0 for all that this node has fetched, or is fetching, since it began."""

    def subscribe(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` called, by another thread, when there is news. Returns how to end that."""

    def whole(self, digests: Collection[Digest]) -> Mapping[Digest, int]:
        """The sizes of those of these blobs that are held whole, proven, and may be shared, in the cache too."""

    def read(self, digest: Digest, start: int, end: int) -> Readable | None:
        """Bytes of checked pieces; None unless all of them are. Never waits for bytes, and never causes a fetch.
        Raises DiskIOError."""

    def proven_pieces(self, digest: Digest) -> bytes | None:
        """The proven list of a blob's piece hashes in the form of `proof.pieces` (`GAP1`); None before it is proven."""
