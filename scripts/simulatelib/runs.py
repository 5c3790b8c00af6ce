"""One run: a world, what fails in it, and what it took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.simulatelib.alone import Alone
from scripts.simulatelib.costs import Costs
from scripts.simulatelib.pieces import Ints
from scripts.simulatelib.scheduled import Scheduled
from scripts.simulatelib.swarm import STEP, Swarm, steps
from scripts.simulatelib.world import Fault, Trouble, World

MOST_ALONE = 64
"""Nodes that go by rendezvous: each asks all others."""

_PEERS = 8
_GIVEN_UP = 40.0
_ALONE_AFTER = 10.0
_TENTH = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """What a simulated fleet took. Ratios to the ideal time and to one copy; numbers a second over the whole run.

    `wall`: until the last node was through, `median`: half of them, `others`: the last of those that nothing befell,
    `late`: the last of those that joined late, since they did. `peers`: the part of all bytes that peers sent.
    `messages`: between a node and schedulers, a node and second. `board`: operations of the board's Redis, `registers`
    those that it is given. `news`: pieces that a node offers. `fairness`: Jain's index of the bytes that nodes sent.
    `missing`: nodes that are not through.
    """

    nodes: int
    wall: float
    median: float
    others: float
    late: float
    egress: float
    peers: float
    messages: float
    board: float
    registers: float
    news: float
    fairness: float
    missing: int
    wall_s: float


def run(world: World, costs: Costs, seed: int) -> Result:
    """Simulate a world until all nodes that live are through, or nothing comes of it any more."""
    return _Run(world, costs, seed).result()


class _Run:
    def __init__(self, world: World, costs: Costs, seed: int) -> None:
        is_ever_alone = world.is_alone or any(each.fault is Fault.MUTE for each in world.troubles)
        slots = min(MOST_ALONE, world.nodes) if is_ever_alone else _PEERS
        self._world = world
        self._swarm = Swarm(world, costs, seed, max(slots, _PEERS))
        self._scheduled = Scheduled(self._swarm)
        self._alone = Alone(self._swarm)
        self._swarm.guide = self._alone if world.is_alone else self._scheduled
        self._befallen: set[int] = set()
        self._due: list[tuple[int, Trouble, bool]] = []
        for each in world.troubles:
            self._due.append((self._at(each.at), each, True))
            if each.until != float("inf"):
                self._due.append((self._at(each.until), each, False))
        self._muted = -1

    def _at(self, part: float) -> int:
        return steps(part * self._world.ideal)

    def result(self) -> Result:
        """Run, and say what it took."""
        swarm = self._swarm
        last = self._at(_GIVEN_UP) + steps(60.0)
        while swarm.step < last and not swarm.is_over:
            for at, trouble, begins in self._due:
                if at == swarm.step:
                    self._begin(trouble) if begins else self._end(trouble)
            if self._muted >= 0 and swarm.step == self._muted + steps(_ALONE_AFTER):
                swarm.guide = self._alone
                self._alone.meet()
            swarm.advance()
        return self._result()

    def _begin(self, trouble: Trouble) -> None:
        swarm = self._swarm
        if trouble.fault is Fault.MUTE:
            self._scheduled.is_mute, self._muted = True, swarm.step
        elif trouble.fault is Fault.PART:
            swarm.side = np.arange(self._world.nodes) % 2
            lives = np.flatnonzero(swarm.lives)
            rows = zip(lives.tolist(), swarm.pieces.peers[lives].tolist(), strict=True)
            swarm.tell(
                {node: tuple(peer for peer in row if peer >= 0 and (peer - node) % 2 == 0) for node, row in rows}
            )
            of_peers = swarm.flights["source"] < swarm.origin
            swarm.cut(of_peers & ((swarm.flights["source"] - swarm.flights["node"]) % 2 == 1))
        for node in self._chosen(trouble.nodes):
            self._befallen.add(node)
            match trouble.fault:
                case Fault.KILL:
                    swarm.kill(node)
                case Fault.SLOW:
                    swarm.up[node] *= _TENTH
                    swarm.down[node] *= _TENTH
                case Fault.LIAR:
                    swarm.lies[node] = True
                case _:
                    pass

    def _end(self, trouble: Trouble) -> None:
        if trouble.fault is Fault.MUTE:
            self._muted = -1
            self._scheduled.hear_again()
        elif trouble.fault is Fault.PART:
            self._swarm.side = None
            if self._swarm.guide is self._alone:
                self._alone.meet()

    def _chosen(self, count: int) -> list[int]:
        """So many nodes that fetch from the origin now, or if there are not enough, others that live."""
        if not count:
            return []
        swarm = self._swarm
        fetching = np.unique(swarm.flights["node"][swarm.flights["source"] == swarm.origin])
        others = np.setdiff1d(np.flatnonzero(swarm.lives), fetching)
        both = np.concatenate((swarm.random.permutation(fetching), swarm.random.permutation(others)))
        found: list[int] = both[:count].tolist()
        return found

    def _exchange(self) -> float:
        """Operations of all schedulers when they plan once: each says what it heard, and reads what others did."""
        costs = self._swarm.costs
        schedulers = -(-self._world.nodes // costs.nodes_per_scheduler)
        return schedulers * (costs.exchange_ops + costs.shelf_ops * (1 + len(self._world.sizes)))

    def _result(self) -> Result:
        swarm, world, control = self._swarm, self._world, self._scheduled.control
        alive = np.flatnonzero(swarm.lives)
        through = alive[swarm.done[alive] >= 0]
        first = through[through < world.nodes - world.late]
        others = np.array([node for node in first.tolist() if node not in self._befallen], np.int64)
        wall = _last(swarm.done, first)
        came = through[through >= world.nodes - world.late]
        late = _last(swarm.done - swarm.begins, came)
        sent = swarm.sent[:-1][alive]
        return Result(
            nodes=world.nodes,
            wall=wall / world.ideal,
            median=float(np.median(swarm.done[first]) * STEP / world.ideal) if len(first) else 0.0,
            others=_last(swarm.done, others) / world.ideal,
            late=late / world.ideal,
            egress=float(swarm.sent[-1]) / world.size,
            peers=float(sent.sum() / max(1.0, swarm.sent.sum())),
            messages=control.messages / max(swarm.now, STEP) / world.nodes,
            board=control.calls / max(swarm.now, STEP) * self._exchange(),
            registers=control.writes / max(swarm.now, STEP),
            news=swarm.news / max(swarm.now, STEP) / world.nodes,
            fairness=float(sent.sum() ** 2 / max(1.0, len(sent) * (sent**2).sum())),
            missing=len(alive) - len(through),
            wall_s=wall,
        )


def _last(ends: Ints, nodes: Ints) -> float:
    return float(ends[nodes].max() * STEP) if len(nodes) else 0.0
