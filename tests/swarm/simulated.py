"""A swarm of nodes that fetch one blob by rendezvous, in simulated time: lines, news that come late, joins and leaves.

Nodes share the line of the origin. Each has a line of its own, the same both ways. A piece that leaves the reach of its
fetcher is stopped, and keeps what came of it, as the transfer does.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.rendezvous import ALIVE_SECONDS, NodeClocks, Other, Share
from orchestrator.swarm.units import Bits, piece_count, pieces_within

DIGEST = Digest.parse("sha256:" + "ab" * 32)
_TICK = 0.05
_LANES, _FROM_PEERS, _EACH = 8, 16, 2
ORIGIN = None


@dataclass(slots=True)
class Flight:
    """A piece on its way, from the origin or from a node."""

    left: float
    sender: Node | None


@dataclass(slots=True, eq=False)
class Node:
    """A node: when it begins and ends, its line in bytes per second, and whether its offers are lies."""

    name: str
    begins: float
    line: float
    ends: float = float("inf")
    lies: bool = False
    has: int = 0
    done: float | None = None
    fed: float = 0.0
    told: list[tuple[float, int]] = field(default_factory=list)
    flights: dict[int, Flight] = field(default_factory=dict)
    parts: dict[int, float] = field(default_factory=dict)

    def is_up(self, now: float) -> bool:
        return self.begins <= now < self.ends

    def offered(self, at: float) -> int:
        return next((mask for told, mask in reversed(self.told) if told <= at), 0)


class Swarm:
    """`run` simulates until all who are there have the blob; `egress` is what the origin sent, in blobs."""

    def __init__(self, nodes: list[Node], size: int, *, origin: float, lag: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._nodes = nodes
        self._size = size
        self._origin = origin
        self._sent = 0.0
        self._full = (1 << piece_count(size)) - 1
        self._lags = {(one, other): self._random.uniform(0.05, lag) for one in nodes for other in nodes}
        self._shares: dict[Node, tuple[Share, NodeClocks]] = {}
        self.now = 0.0

    @property
    def egress(self) -> float:
        return self._sent / self._size

    def run(self, most: float) -> None:
        while self.now < most:
            up = [node for node in self._nodes if node.is_up(self.now)]
            if all(node.done is not None or node.ends <= self.now or node.lies for node in self._nodes):
                return
            for node in up:
                if node.done is None and not node.lies:
                    self._assign(node)
            self._move(up)
            self.now += _TICK

    def _assign(self, node: Node) -> None:
        if node not in self._shares:
            clocks = NodeClocks(self.now, self._random.random())
            self._shares[node], node.fed = (Share(node.name, DIGEST, self._size, self.now), clocks), self.now
        share, clocks = self._shares[node]
        count, heard = piece_count(self._size), {}
        for other in self._nodes:
            lag = self._lags[node, other]
            if other is not node and other.begins + 2 * lag < self.now < other.ends + ALIVE_SECONDS:
                heard[other] = self._full if other.lies else other.offered(self.now - lag)
        others = [Other(other.name, Bits(count, mask)) for other, mask in heard.items()]
        moment = clocks.moment(
            self.now, gets=node.fed >= self.now - _TICK, brings=share.brings, others=map(bool, heard.values())
        )
        reach = share.of(moment, Bits(count, node.has), others)
        within = pieces_within(self._size, reach)
        for piece, flight in [*node.flights.items()]:
            is_cut = piece not in within if flight.sender is None else not flight.sender.is_up(self.now)
            if is_cut:
                node.parts[piece] = node.flights.pop(piece).left
        lanes = Counter(flight.sender is None for flight in node.flights.values())
        for piece in within:
            if lanes[True] < _LANES and self._wants(node, piece):
                self._begin(node, piece, None)
                lanes[True] += 1
        senders = [other for other in heard if other.is_up(self.now) and not other.lies]
        self._random.shuffle(senders)
        for sender in senders:
            wanted = [piece for piece in Bits(count, heard[sender] & ~node.has) if self._wants(node, piece)]
            for piece in wanted[: max(0, min(_EACH, _FROM_PEERS - lanes[False]))]:
                self._begin(node, piece, sender)
                lanes[False] += 1

    def _wants(self, node: Node, piece: int) -> bool:
        return not node.has >> piece & 1 and piece not in node.flights

    def _begin(self, node: Node, piece: int, sender: Node | None) -> None:
        whole = float(min(PIECE, self._size - piece * PIECE))
        node.flights[piece] = Flight(node.parts.pop(piece, whole), sender)

    def _move(self, up: list[Node]) -> None:
        inward = {node: len(node.flights) for node in up}
        outward = Counter(flight.sender for node in up for flight in node.flights.values())
        for node in up:
            for piece, flight in [*node.flights.items()]:
                line = flight.sender.line if flight.sender else self._origin
                rate = min(line / outward[flight.sender], node.line / inward[node])
                moved = min(rate * _TICK, flight.left)
                flight.left -= moved
                node.fed = self.now
                self._sent += 0 if flight.sender else moved
                if flight.left <= 0:
                    del node.flights[piece]
                    node.has |= 1 << piece
                    node.told.append((self.now, node.has))
            if node.has == self._full and node.done is None:
                node.done = self.now
