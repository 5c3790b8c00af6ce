"""Who has which piece, and who knows of it: matrices of nodes and pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.proof.pieces import PIECE

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NEVER = 65535
"""The step at which a piece is offered that is not."""

_ROWS = 1024
_RUN_SECONDS, _FIRST_RUN = 1.0, 1


@dataclass(slots=True)
class Choice:
    """Ranges that nodes ask peers for: each by a node, of the peer in a slot, `length` pieces from `first` on."""

    nodes: Ints
    slots: Ints
    first: Ints
    length: Ints


class Pieces:
    """The pieces of `nodes` nodes. A node has `slots` slots, each for a peer that it asks, -1 for none.

    `lacks`: it has not, and does not fetch it. `offered`: the step from which those who ask a node know that it has it.
    `rarity`: how many of a node's peers offer it. `useful`: how many pieces that a node lacks a slot's peer offers.
    """

    def __init__(self, nodes: int, ends: Bools, slots: int, seed: int) -> None:
        pieces = len(ends)
        self.random = np.random.default_rng(seed)
        self.has = np.zeros((nodes, pieces), np.bool_)
        self.lacks = np.ones((nodes, pieces), np.bool_)
        self.offered = np.full((nodes, pieces), NEVER, np.uint16)
        self.rarity = np.zeros((nodes, pieces), np.uint8)
        self.peers = np.full((nodes, slots), -1, np.int64)
        self.useful = np.zeros((nodes, slots), np.int64)
        self.streams = np.zeros((nodes, slots), np.int64)
        self.speeds = np.zeros((nodes, slots))
        self.rests = np.zeros((nodes, slots), np.int64)
        self._ends = ends  # the last piece of each blob
        self._fronts = np.zeros(nodes, np.int64)  # no piece before it is lacked
        self._behind = 0  # no piece from here on was ever offered
        self._noise = self.random.integers(0, 256, (64, pieces), dtype=np.uint16)
        self._askers: tuple[Ints, Ints] | None = None

    @property
    def count(self) -> int:
        """The number of pieces."""
        return self.has.shape[1]

    @property
    def slots(self) -> int:
        """How many peers a node can ask."""
        return self.peers.shape[1]

    def tell(self, node: int, peers: tuple[int, ...], step: int) -> tuple[int, ...]:
        """Give a node other peers; those that stay keep their slots. Returns the slots that have new ones."""
        row = self.peers[node].tolist()
        fresh = [peer for peer in peers if peer not in row]
        slots = [slot for slot, peer in enumerate(row) if peer not in peers]
        for slot in slots:
            self.peers[node, slot] = fresh.pop(0) if fresh else -1
            self.streams[node, slot] = self.rests[node, slot] = 0
            self.speeds[node, slot] = 0.0
        self.refresh(node, step)
        self._askers = None
        return tuple(slots)

    def refresh(self, node: int, step: int) -> None:
        """Count anew what the peers of a node offer."""
        row = self.peers[node]
        known = row[row >= 0]
        seen = self.offered[known] <= step
        self.rarity[node] = seen.sum(0)
        self.useful[node] = 0
        self.useful[node, row >= 0] = (seen & self.lacks[node]).sum(1)

    def take(self, nodes: Ints, pieces: Ints, step: int) -> None:
        """Nodes begin to fetch pieces."""
        self.lacks[nodes, pieces] = False
        self._count(nodes, pieces, step, -1)

    def give_up(self, nodes: Ints, pieces: Ints, step: int) -> None:
        """Nodes do not fetch these pieces any more, and have not got them."""
        self.lacks[nodes, pieces] = True
        np.minimum.at(self._fronts, nodes, pieces)
        self._count(nodes, pieces, step, 1)

    def _count(self, nodes: Ints, pieces: Ints, step: int, by: int) -> None:
        peers = self.peers[nodes]
        seen = (self.offered[peers, pieces[:, None]] <= step) & (peers >= 0)
        places = nodes[:, None] * self.slots + np.arange(self.slots)
        np.add.at(self.useful.reshape(-1), places[seen], by)

    def offer(self, nodes: Ints, pieces: Ints, step: int) -> None:
        """From this step on those who ask these nodes know that they have these pieces."""
        fresh = self.offered[nodes, pieces] > step
        nodes, pieces = nodes[fresh], pieces[fresh]
        if not len(nodes):
            return
        self.offered[nodes, pieces] = step
        self._behind = max(self._behind, int(pieces.max()) + 1)
        first, askers = self.askers()
        counts = first[nodes + 1] - first[nodes]
        places = np.repeat(first[nodes] - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
        places += np.arange(counts.sum())
        slots = askers[places]
        what = slots // self.slots * self.count + np.repeat(pieces, counts)
        np.add.at(self.rarity.reshape(-1), what, np.uint8(1))
        np.add.at(self.useful.reshape(-1), slots[self.lacks.reshape(-1)[what]], 1)

    def askers(self) -> tuple[Ints, Ints]:
        """Where the askers of each node begin in a list of them, and that list, each as node and slot in one number."""
        if self._askers is None:
            flat = self.peers.ravel()
            order = np.argsort(flat, kind="stable")
            order = order[flat[order] >= 0]
            counts = np.bincount(flat[order], minlength=len(self.peers))
            self._askers = np.concatenate(([0], np.cumsum(counts))), order
        return self._askers

    def withdraw(self, node: int, step: int) -> None:
        """Nobody gets anything of this node any more."""
        self.offered[node] = NEVER
        first, askers = self.askers()
        for place in askers[first[node] : first[node + 1]]:
            self.refresh(int(place) // self.slots, step)

    def learn(self, nodes: Ints, slots: Ints, rates: Floats) -> None:
        """Note how fast streams from peers are: the last that flows counts."""
        flows = (slots >= 0) & (rates > 0)
        self.speeds[nodes[flows], slots[flows]] = rates[flows]

    def _runs(self, nodes: Ints, slots: Ints, most: int) -> Ints:
        """The pieces of a range: what comes in a second, as in the engine; one from a peer that is not known yet."""
        speeds = self.speeds[nodes, slots]
        found = np.where(speeds > 0, speeds * _RUN_SECONDS // PIECE, _FIRST_RUN)
        clipped: Ints = np.clip(found, 1, most).astype(np.int64)
        return clipped

    def choose(self, nodes: Ints, step: int, per_peer: int, run: int) -> Choice:
        """One range for each of these nodes that knows of one: of a peer with a free stream, the rarest piece first."""
        free = self.streams[nodes] < per_peer
        free &= (self.useful[nodes] > 0) & (self.rests[nodes] <= step) & (self.peers[nodes] >= 0)
        able = free.any(1)
        nodes, free = nodes[able], free[able]
        weights = self.streams[nodes] + self.random.random(free.shape)
        slots = np.where(free, weights, np.inf).argmin(1)
        first, length = np.zeros(len(nodes), np.int64), np.zeros(len(nodes), np.int64)
        noise, fronts = self.random.integers(0, len(self._noise), len(nodes)), self._advance(nodes)
        # Nodes that are at the same place of the model together: what they look through is short.
        turns = np.argsort(fronts, kind="stable")
        for start in range(0, len(nodes), _ROWS):
            part = turns[start : start + _ROWS]
            begin = int(fronts[part[0]])
            first[part], length[part] = self._rarest(nodes[part], slots[part], noise[part], begin, step, run)
        return Choice(nodes, slots, first, length)

    def _advance(self, nodes: Ints) -> Ints:
        """The first piece that each of these nodes lacks; there is one."""
        passed = nodes
        while len(passed):
            passed = passed[~self.lacks[passed, self._fronts[passed]]]
            self._fronts[passed] += 1
        return self._fronts[nodes]

    def _rarest(self, nodes: Ints, slots: Ints, noise: Ints, begin: int, step: int, run: int) -> tuple[Ints, Ints]:
        """The rarest piece from `begin` on for each of these nodes, and how many come with it."""
        window = slice(begin, self._behind)
        there = (self.offered[self.peers[nodes, slots], window] <= step) & self.lacks[nodes, window]
        score = self.rarity[nodes, window].astype(np.uint16) << 8
        score |= self._noise[noise, window]
        score[~there] = NEVER
        first = score.argmin(1).astype(np.int64)
        rows, most = np.arange(len(nodes)), there.shape[1] - 1
        length = there[rows, first].astype(np.int64)
        goes_on, runs = length > 0, self._runs(nodes, slots, run)
        for ahead in range(1, run):
            last = np.minimum(first + ahead, most)
            goes_on &= (ahead < runs) & (first + ahead <= most) & there[rows, last]
            goes_on &= ~self._ends[begin + last - 1]
            length += goes_on
        return begin + first, length


def ranks_among(values: Ints) -> Ints:
    """How many equal ones come before each."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    counts = np.diff(np.append(starts, len(values)))
    found = np.empty(len(values), np.int64)
    found[order] = np.arange(len(values)) - np.repeat(starts, counts)
    return found
