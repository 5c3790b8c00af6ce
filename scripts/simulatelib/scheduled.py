"""A fleet with schedulers: nodes report, and do what the real planner says."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.control.scheduling.core import BROKEN_AFTER
from orchestrator.swarm.leasing import pace_after
from orchestrator.swarm.peering import MOST_RENEWALS
from orchestrator.swarm.units import Unit
from orchestrator.swarm.view import FleetAction, Lease, NodeState, NodeView, Peers, Revoke
from scripts.simulatelib.control import Control
from scripts.simulatelib.pieces import Ints
from scripts.simulatelib.swarm import STEP, Swarm, steps

_STARVES_SECONDS = 1.0


class Scheduled:
    """The guide of a fleet whose schedulers agree by a board. `is_mute`: nothing is heard of them."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm, costs = swarm, swarm.costs
        self.control = Control(swarm.sizes)
        self.is_mute = False
        self._index = {name: number for number, name in enumerate(swarm.names)}
        self._every = steps(max(costs.beat_s, swarm.world.nodes / costs.beats_per_s))
        self._phase = swarm.random.integers(0, self._every, swarm.world.nodes)
        self._counted = np.zeros(swarm.world.nodes)  # bytes from the origin, by its last report
        self._lost: dict[int, list[int]] = defaultdict(list)
        self._queues: dict[int, list[str]] = defaultdict(list)
        self._left: dict[str, int] = {}
        self._unsaid: list[tuple[int, str]] = []
        self._planned, self._is_due = -(10**6), True

    def joined(self, node: int) -> None:
        """See `Guiding`."""
        name, zone = self._swarm.names[node], f"z{node % self._swarm.world.zones}"
        self.control.join(NodeView(name, 1, NodeState.READY, self._swarm.now, zone))
        self._is_due = True

    def work(self) -> None:
        """See `Guiding`."""
        for node in self._lost.pop(self._swarm.step, ()):
            self.control.lose(self._swarm.names[node])
            self._is_due = True
        if self.is_mute:
            return
        self._report()
        costs, waited = self._swarm.costs, self._swarm.step - self._planned
        if waited >= steps(costs.tick_s) or (self._is_due and waited >= steps(costs.least_tick_s)):
            self._planned, self._is_due = self._swarm.step, False
            for members in self._sides():
                self._carry_out(self.control.plan(self._swarm.now, members))

    def arrived(self, node: int, order: int) -> None:
        """See `Guiding`."""
        identity = str(order)
        self._left[identity] -= 1
        if self._left[identity]:
            return
        self._queues[node].remove(identity)
        del self._left[identity]
        self._unsaid.append((node, identity))
        self._begin(node)

    def finished(self, node: int) -> None:
        """See `Guiding`."""
        for each in self._swarm.sizes:
            self.control.is_whole(self._swarm.names[node], each)

    def met(self, liar: int, node: int, piece: int) -> None:
        """See `Guiding`."""
        names = self._swarm.names
        blob = max((start, each) for each, start in self._swarm.starts.items() if start <= piece)[1]
        self.control.accuse(names[liar], blob, names[node])
        self._is_due = True

    def lost(self, node: int) -> None:
        """See `Guiding`."""
        self._lost[self._swarm.step + steps(BROKEN_AFTER)].append(node)
        for identity in self._queues.pop(node, ()):
            del self._left[identity]

    def hear_again(self) -> None:
        """Have schedulers hear of all nodes again, after they were mute."""
        self.is_mute = False
        for node in np.flatnonzero(self._swarm.lives).tolist():
            self.control.beat(self._swarm.names[node], self._swarm.now, {})
        self._is_due = True

    # -- reports -------------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        swarm = self._swarm
        for node, identity in self._unsaid:
            granted = self.control.leases.get(identity)
            if granted is not None and swarm.lives[node]:
                work = granted.lease.work
                assert isinstance(work, Unit)
                self.control.held(identity, swarm.bits(np.array([node]))[node][work.digest])
                self._is_due = True
        self._unsaid.clear()
        due = np.flatnonzero(swarm.lives & ((swarm.step + self._phase) % self._every == 0))
        beats = set(due.tolist())
        for identity, granted in self.control.leases.items():
            if self._index[granted.lease.node] in beats:
                granted.report(swarm.now, self._done(identity))
        changed = due[swarm.fresh[due]]
        have = swarm.bits(changed) if len(changed) else {}
        swarm.fresh[changed] = False
        starve = swarm.waits & (swarm.step - swarm.moved >= steps(_STARVES_SECONDS))
        for node in due.tolist():
            told = {
                "pace": self._pace(node),
                "starves": bool(starve[node]) and not self._queues.get(node),
            }
            self.control.beat(swarm.names[node], swarm.now, have.get(node, {}), **told)

    def _pace(self, node: int) -> float:
        swarm, name = self._swarm, self._swarm.names[node]
        came = int(swarm.fetched[node] - self._counted[node])
        self._counted[node] = swarm.fetched[node]
        known = self.control.nodes.get(name)
        return pace_after(known.pace if known else 0.0, came, self._every * STEP)

    def _done(self, identity: str) -> int:
        swarm, lease = self._swarm, self.control.leases[identity].lease
        node, pieces = self._index[lease.node], self._pieces(lease)
        have = int(swarm.bytes[pieces[swarm.pieces.has[node, pieces]]].sum())
        return have + int(swarm.flights.got[swarm.flights["order"] == int(identity)].sum())

    # -- plans ---------------------------------------------------------------------------------------------------------

    def _sides(self) -> list[frozenset[str] | None]:
        side = self._swarm.side
        if side is None:
            return [None]
        return [
            frozenset(name for name, each in zip(self._swarm.names, side, strict=True) if each == one)
            for one in np.unique(side)
        ]

    def _carry_out(self, actions: tuple[FleetAction, ...]) -> None:
        told: dict[int, tuple[int, ...]] = {}
        for action in actions:
            match action:
                case Lease(node=name):
                    node, pieces = self._index[name], self._pieces(action)
                    if self._swarm.lives[node]:
                        self._swarm.claim(node, pieces)
                        self._queues[node].append(action.id)
                        self._left[action.id] = int((~self._swarm.pieces.has[node, pieces]).sum())
                        self._begin(node)
                case Revoke(lease):
                    self._revoke(lease)
                case Peers(name, peers):
                    told[self._index[name]] = tuple(self._index[peer] for peer in peers)
                case _:
                    pass
        self._swarm.tell({node: peers for node, peers in told.items() if self._swarm.lives[node]})
        self._is_due |= len(told) >= MOST_RENEWALS

    def _begin(self, node: int) -> None:
        """Have a node ask the origin for the next of its leases, as many at once as it has connections."""
        swarm, queue = self._swarm, self._queues[node]
        flying = set(swarm.flights["order"][swarm.flights["node"] == node].tolist())
        free = swarm.costs.per_origin - len(flying & {int(each) for each in queue})
        for identity in [each for each in queue if int(each) not in flying and self._left[each]][: max(0, free)]:
            granted = self.control.leases.get(identity)
            if granted is not None:
                pieces = self._pieces(granted.lease)
                lacks = pieces[~swarm.pieces.has[node, pieces]]
                if len(lacks):  # or its end has not been told yet
                    swarm.fetch(node, int(lacks[0]), int(pieces[-1]) + 1, int(identity))

    def _revoke(self, lease: Lease) -> None:
        node = self._index[lease.node]
        if lease.id in self._queues[node]:
            self._queues[node].remove(lease.id)
            del self._left[lease.id]
            self._swarm.stop(node, int(lease.id), self._pieces(lease))
            self._begin(node)

    def _pieces(self, lease: Lease) -> Ints:
        assert isinstance(lease.work, Unit)
        start = self._swarm.starts[lease.work.digest]
        return np.arange(start + lease.work.start // PIECE, start - (-lease.work.end // PIECE))
