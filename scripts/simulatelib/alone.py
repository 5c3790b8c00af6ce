"""A fleet without schedulers: each node has the real guide for that, which goes by rendezvous."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orchestrator.core.extents import Ranges
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.refs import parse_ref
from orchestrator.core.sources import Origin
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import Holding
from orchestrator.swarm.unguided import Unguided
from orchestrator.swarm.units import Bits
from scripts.simulatelib.swarm import Swarm, steps

_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Known:
    """A node as another one knows it: see `orchestrator.swarm.unguided.Neighbour`."""

    node: str
    heard: float
    holdings: Mapping[Digest, Holding]
    is_trusted: bool = True
    cache: str = ""


class Alone:
    """The guide of a fleet whose nodes all ask each other."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        origins = (Origin(parse_ref("org/model").repo, "0" * 40, "model"),)
        self._jobs = {digest: Job(digest, size, True, origins) for digest, size in swarm.sizes.items()}
        self._guides: dict[int, Unguided] = {}
        self._known: dict[int, Known] = {}
        self._own: dict[int, dict[Digest, Holding]] = {}
        self._orders: dict[int, dict[int, int]] = {}
        self._order = 10**6
        self._liars: dict[int, set[int]] = {}

    def joined(self, node: int) -> None:  # noqa: ARG002
        """See `Guiding`."""
        self.meet()

    def meet(self) -> None:
        """Have all nodes that are there ask all others."""
        swarm = self._swarm
        for node in np.flatnonzero(swarm.lives).tolist():
            if node not in self._guides:
                self._guides[node], self._orders[node] = self._guide(node), {}
        swarm.tell({node: self._others(node) for node in np.flatnonzero(swarm.lives).tolist()})

    def _guide(self, node: int) -> Unguided:
        swarm = self._swarm
        guide = Unguided(swarm.names[node], tuple, clock=lambda: swarm.now, chance=lambda: float(swarm.random.random()))
        guide.see(lambda: self._neighbours(node), lambda digest: self._own[node][digest].checked)
        return guide

    def _others(self, node: int) -> tuple[int, ...]:
        swarm = self._swarm
        known = swarm.lives if swarm.side is None else swarm.lives & (swarm.side == swarm.side[node])
        liars = self._liars.get(node, set())
        return tuple(other for other in np.flatnonzero(known).tolist() if other != node and other not in liars)

    def _neighbours(self, node: int) -> list[Known]:
        return [self._known[other] for other in self._others(node) if other in self._known]

    def work(self) -> None:
        """See `Guiding`."""
        swarm = self._swarm
        if swarm.step % steps(_LOOK_SECONDS):
            return
        lives = np.flatnonzero(swarm.lives)
        own, told = swarm.bits(lives), swarm.told(lives)
        for node in lives.tolist():
            self._own[node] = _holdings(swarm, own[node])
            self._known[node] = Known(swarm.names[node], swarm.now, _holdings(swarm, told[node]))
        for node in np.flatnonzero(swarm.waits).tolist():
            for digest, job in self._jobs.items():
                if not self._own[node][digest].is_whole:
                    self._follow(node, digest, self._guides[node].origin(job) or ())

    def _follow(self, node: int, digest: Digest, ranges: Ranges) -> None:
        """Fetch what lies in these ranges of a blob, and stop what does not."""
        swarm, orders = self._swarm, self._orders[node]
        start, count = swarm.starts[digest], self._own[node][digest].checked.count
        wanted = [start + piece for first, end in ranges for piece in range(first // PIECE, -(-end // PIECE))]
        for piece in [each for each in orders if start <= each < start + count and each not in wanted]:
            swarm.stop(node, orders.pop(piece), np.array([piece]))
        for piece in wanted:
            if len(orders) >= swarm.costs.per_origin:
                return
            if swarm.pieces.lacks[node, piece]:
                swarm.claim(node, np.array([piece]))
                self._order += 1
                orders[piece] = self._order
                swarm.fetch(node, piece, piece + 1, self._order)

    def arrived(self, node: int, order: int) -> None:
        """See `Guiding`."""
        self._orders[node] = {piece: each for piece, each in self._orders[node].items() if each != order}

    def finished(self, node: int) -> None:
        """See `Guiding`."""

    def met(self, liar: int, node: int, piece: int) -> None:  # noqa: ARG002
        """See `Guiding`."""
        self._liars.setdefault(node, set()).add(liar)
        self._swarm.tell({node: self._others(node)})

    def lost(self, node: int) -> None:
        """See `Guiding`."""
        self._orders[node] = {}
        self.meet()


def _holdings(swarm: Swarm, has: Mapping[Digest, Bits]) -> dict[Digest, Holding]:
    return {digest: Holding(digest, swarm.sizes[digest], checked, checked.is_full) for digest, checked in has.items()}
