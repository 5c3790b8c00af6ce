"""The table of peers: what each of them has, as far as it said so and was heard of lately."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core.files import Digest
from orchestrator.swarm.holdings import Holding
from orchestrator.swarm.rendezvous import ALIVE_SECONDS
from orchestrator.swarm.trust import distrusted
from orchestrator.swarm.units import Bits, piece_count
from orchestrator.swarm.wire import NodeNews, WholeBlobs

_MOST_BLOBS = 200_000
"""Blobs that are kept of one peer."""
_REMEMBERED = 600.0
"""Seconds for which a peer that fell silent, and of which nothing else is known, is remembered."""


@dataclass(frozen=True, slots=True)
class NeighbourView:
    """A peer, as a guide sees it. Times are monotonic seconds: when it was `heard` last, -inf for one that refuses
    connections; when it had `changed` what it has of a blob. One that altered bytes is not trusted."""

    node: str
    address: str
    heard: float
    epoch: int
    holdings: Mapping[Digest, Holding]
    changed: Mapping[Digest, float]
    is_trusted: bool = True
    cache: str = ""


@dataclass(slots=True)
class _Known:
    address: str
    epoch: int
    heard: float = -math.inf
    holdings: dict[Digest, Holding] = field(default_factory=dict)
    changed: dict[Digest, float] = field(default_factory=dict)
    cache: str = ""
    view: NeighbourView | None = None


class PeerTable:
    """All that peers said they have, to the node `me`. Thread-safe; nothing blocks."""

    def __init__(self, me: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._me = me
        self._clock = clock
        self._lock = threading.Lock()
        self._peers: dict[str, _Known] = {}
        self._found: set[str] = set()
        self._told: dict[str, frozenset[str]] = {}
        self._shunned: frozenset[str] = frozenset()
        self._out: frozenset[str] = frozenset()
        self._disputed: set[Digest] = set()
        self._marks: dict[Digest, int] = {}
        self._changes = 0
        self._counted: tuple[tuple[int, int], int] = (-1, 0), 0

    # -- what is heard

    def told(self, address: str, told: NodeNews) -> Sequence[Holding]:
        """A peer told its news. Returns them, with nothing of a peer that is not trusted."""
        with self._lock:
            known = self._known(told.node, address, told.epoch)
            known.cache = told.cache
            for fresh in told.news.holdings:
                before = known.holdings.get(fresh.digest)
                if before is not None and before.size == fresh.size:
                    self._keep(known, replace(fresh, hashes={**before.hashes, **fresh.hashes}))
                elif before is not None or len(known.holdings) < _MOST_BLOBS:
                    self._keep(known, fresh)
            if self._told.get(told.node, frozenset()) != told.news.accused:
                self._told[told.node] = told.news.accused
                self._judge()
            return () if told.node in self._out else told.news.holdings

    def told_whole(self, address: str, told: WholeBlobs) -> None:
        """A peer told which blobs it holds whole, of those that it was asked for, of the right sizes."""
        with self._lock:
            known = self._known(told.node, address, told.epoch)
            for digest, size in told.sizes.items():
                self._keep(known, Holding(digest, size, Bits.full(piece_count(size)), is_whole=True))

    def heard(self, node: str) -> None:
        """A peer is there, and has nothing new to tell."""
        with self._lock:
            if node in self._peers:
                self._peers[node].heard = self._clock()
                self._peers[node].view = None

    def gone(self, node: str) -> None:
        """A peer refuses connections."""
        with self._lock:
            if node in self._peers:
                self._peers[node].heard = -math.inf
                self._peers[node].view = None
                self._changes += 1

    def lacks(self, node: str, digest: Digest, pieces: Bits | None = None) -> None:
        """A peer has not these pieces of a blob, None for all, whatever it said. Until it says so again."""
        with self._lock:
            known = self._peers.get(node)
            holding = known.holdings.get(digest) if known else None
            if known is not None and holding is not None:
                left = Bits(holding.checked.count) if pieces is None else holding.checked - pieces
                self._keep(known, replace(holding, checked=left, is_whole=False))

    def accuse(self, node: str) -> bool:
        """A peer altered bytes, this node found: it is not asked, nor believed, any more, as long as this process
        lives. False if that was known."""
        with self._lock:
            is_new = node not in self._found
            self._found.add(node)
            self._judge()
            return is_new

    def shun(self, nodes: Collection[str]) -> None:
        """Schedulers say that these altered bytes, in the place of those of before."""
        with self._lock:
            self._shunned = frozenset(nodes)
            self._judge()

    def dispute(self, digest: Digest) -> None:
        """A whole blob was wrong here: of what is not proven whole, only those pieces count from now on whose hash is
        the word of who has the blob proven."""
        with self._lock:
            if digest not in self._disputed:
                self._disputed.add(digest)
                self._changes += 1
                for known in self._peers.values():
                    known.view = None

    def forget(self, digests: Collection[Digest]) -> None:
        """Forget who has these blobs, and peers that fell silent long ago and have nothing else."""
        since = self._clock() - _REMEMBERED
        with self._lock:
            for digest in digests:
                self._disputed.discard(digest)
                self._marks.pop(digest, None)
                for known in self._peers.values():
                    known.holdings.pop(digest, None)
                    known.changed.pop(digest, None)
            for known in self._peers.values():
                known.view = None
            self._changes += 1
            kept = {node: known for node, known in self._peers.items() if known.holdings or known.heard >= since}
            self._peers = kept
            self._told = {node: accused for node, accused in self._told.items() if node in kept}

    # -- what that makes

    def offers(self, digest: Digest) -> Mapping[str, Bits]:
        """The checked pieces of a blob at each peer that can be asked for some."""
        since = self._clock() - ALIVE_SECONDS
        with self._lock:
            return {
                node: checked
                for node, known in self._peers.items()
                if known.heard >= since
                and node not in self._out
                and (holding := known.holdings.get(digest)) is not None
                and (checked := self._counting(holding).checked)
            }

    def mark(self, digest: Digest) -> tuple[int, int, int]:
        """A value that is another one whenever `offers` may be: at the latest a second after a peer fell silent."""
        return self._changes, self._marks.get(digest, 0), int(self._clock())

    def address(self, node: str) -> str | None:
        """The address of a peer that was heard of."""
        with self._lock:
            known = self._peers.get(node)
            return known.address if known else None

    def live(self) -> Collection[str]:
        """The peers that were heard of lately and are trusted."""
        since = self._clock() - ALIVE_SECONDS
        with self._lock:
            return {node for node, known in self._peers.items() if known.heard >= since and node not in self._out}

    def live_count(self) -> int:
        """The number of them, as it was a second ago at the most: a transfer asks for each source at each poll."""
        mark = self._changes, int(self._clock())
        if self._counted[0] != mark:
            self._counted = mark, len(self.live())
        return self._counted[1]

    def holders(self, digest: Digest) -> Collection[str]:
        """The peers that say that they have the whole blob, proven, and can be asked."""
        live = self.live()
        with self._lock:
            return [node for node in live if (one := self._peers[node].holdings.get(digest)) and one.is_whole]

    def absent(self) -> Collection[str]:
        """The peers that are known, and not there any more, or not trusted."""
        with self._lock:
            known = self._peers.keys() | self._out
        return known - set(self.live())

    @property
    def distrusted(self) -> frozenset[str]:
        """The nodes that altered bytes, found here or by others who are credible; this one can be among them."""
        return self._out

    def has_found(self, node: str) -> bool:
        """True if this node itself found that the other one altered bytes."""
        return node in self._found

    def seen(self) -> Sequence[NeighbourView]:
        """All peers that were ever heard of."""
        with self._lock:
            for node, known in self._peers.items():
                doubted = self._disputed & known.holdings.keys()
                if known.view is None:
                    known.view = NeighbourView(
                        node,
                        known.address,
                        known.heard,
                        known.epoch,
                        known.holdings | {digest: self._counting(known.holdings[digest]) for digest in doubted},
                        dict(known.changed),
                        node not in self._out,
                        known.cache,
                    )
            return tuple(known.view for known in self._peers.values() if known.view is not None)

    def hashes(self, digests: Iterable[Digest]) -> Sequence[tuple[str, Holding]]:
        """The hashes of these blobs, as trusted peers told them."""
        with self._lock:
            return [
                (node, holding)
                for digest in digests
                for node, known in self._peers.items()
                if node not in self._out
                and (holding := known.holdings.get(digest)) is not None
                and (holding.hashes or holding.claims)
            ]

    def _counting(self, holding: Holding) -> Holding:
        """The holding with those of its pieces that count."""
        if holding.digest not in self._disputed or holding.is_whole:
            return holding
        count = holding.checked.count
        right = Bits.of(count, (piece for piece, one in holding.hashes.items() if not one.source))
        return replace(holding, checked=holding.checked & right)

    def _judge(self) -> None:
        """Decide whose word counts for nothing: what this node found is sure; of what all say each makes the same."""
        accusers: dict[str, set[str]] = {}
        told = {teller: accused for teller, accused in self._told.items() if teller not in self._found}
        for teller, accused in (*told.items(), (self._me, self._found)):
            for node in accused:
                accusers.setdefault(node, set()).add(teller)
        agreed = distrusted([{node: frozenset(by) for node, by in accusers.items()}], self._peers.keys() | {self._me})
        self._out = agreed | self._found | self._shunned
        self._changes += 1
        for known in self._peers.values():
            known.view = None

    def _known(self, node: str, address: str, epoch: int) -> _Known:
        known = self._peers.get(node)
        if known is None or known.epoch != epoch:
            known = self._peers[node] = _Known(address, epoch)
            self._changes += 1
        known.address, known.heard = address, self._clock()
        known.view = None
        return known

    def _keep(self, known: _Known, holding: Holding) -> None:
        before = known.holdings.get(holding.digest)
        if before is None or before.checked != holding.checked:
            known.changed[holding.digest] = self._clock()
        known.holdings[holding.digest] = holding
        self._marks[holding.digest] = self._marks.get(holding.digest, 0) + 1
        known.view = None
