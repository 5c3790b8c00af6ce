"""A fleet in simulated time, in steps: nodes, what they have and ask for, and the lines between them and the origin."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.units import Bits, piece_count
from scripts.simulatelib.costs import Costs
from scripts.simulatelib.flights import WAITS, Flights
from scripts.simulatelib.pieces import NEVER, Bools, Ints, Pieces, ranks_among
from scripts.simulatelib.world import World, digest

STEP = 0.05
"""Seconds of a step."""

_HURRY_SECONDS = 0.5
_LATE_SECONDS = 1.5
_FOREVER = 10**9


def steps(seconds: float) -> int:
    """So many seconds in steps, at least one."""
    return max(1, round(seconds / STEP))


class Guiding(Protocol):
    """Who says what is fetched from the origin, and who asks whom; told of what happens to nodes."""

    def joined(self, node: int) -> None:
        """Note that a node is there."""

    def work(self) -> None:
        """Do what is due at the beginning of a step."""

    def arrived(self, node: int, order: int) -> None:
        """Note that a piece that a node fetched from the origin by this order is there."""

    def finished(self, node: int) -> None:
        """Note that a node has proven all that it wants."""

    def met(self, liar: int, node: int, piece: int) -> None:
        """Note that a node met altered bytes of another one."""

    def lost(self, node: int) -> None:
        """Note that a node is gone."""


class Swarm:
    """The nodes of a world. Deterministic for a world and a seed; `guide` is set before the first step."""

    guide: Guiding

    def __init__(self, world: World, costs: Costs, seed: int, slots: int) -> None:
        self.world, self.costs = world, costs
        digests = [digest(number) for number in range(len(world.sizes))]
        firsts = np.cumsum([0, *(piece_count(size) for size in world.sizes)])
        self.starts: dict[Digest, int] = dict(zip(digests, firsts[:-1].tolist(), strict=True))
        self.sizes: dict[Digest, int] = dict(zip(digests, world.sizes, strict=True))
        self.bytes = np.concatenate([_piece_bytes(size) for size in world.sizes])
        ends = np.zeros(len(self.bytes), np.bool_)
        ends[firsts[1:] - 1] = True
        count = world.nodes
        self.pieces = Pieces(count, ends, slots, seed)
        self.random = self.pieces.random
        self.flights = Flights()
        self.names = [f"n{number:05d}" for number in range(count)]
        self.up = np.append(np.full(count, world.line), world.origin) * costs.goodput
        self.down = np.append(np.full(count, world.line), 0.0) * costs.goodput
        self.lives, self.lies = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        self.sent = np.zeros(count + 1)
        self.got = np.zeros(count, np.int64)
        self.done = np.full(count, -1, np.int64)
        self.moved = np.zeros(count, np.int64)  # the step in which something came last
        self.fetched = np.zeros(count)  # bytes from the origin
        self._parts: dict[tuple[int, int], float] = {}  # bytes of pieces that were begun
        self.fresh = np.zeros(count, np.bool_)  # it has got something since `bits` looked
        self.begins = (self.random.uniform(0, 2 * costs.start_s, count) / STEP).astype(np.int64)
        self.begins[count - world.late :] = _FOREVER
        self.side: Ints | None = None
        self.step = self.news = 0
        self._offers: dict[int, list[tuple[Ints, Ints]]] = defaultdict(list)

    @property
    def origin(self) -> int:
        """The number of the origin among the sources."""
        return self.world.nodes

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return self.step * STEP

    @property
    def is_over(self) -> bool:
        """True when all who live, and are to come, are through."""
        return bool(self.lives.any()) and not self.waits.any() and not (self.begins >= self.step).any()

    @property
    def waits(self) -> Bools:
        """The nodes that live and are not through."""
        return self.lives & (self.done < 0)

    def advance(self) -> None:
        """Simulate one step."""
        if not (self.begins <= self.step).all() and self.lives.any() and not self.waits.any():
            late = self.begins == _FOREVER
            self.begins[late] = self.step + steps(self.costs.start_s)
        for node in np.flatnonzero(self.begins == self.step).tolist():
            self.lives[node] = True
            self.moved[node] = self.step
            self.guide.joined(node)
        for nodes, pieces in self._offers.pop(self.step, ()):
            alive = self.lives[nodes]
            self.pieces.offer(nodes[alive], pieces[alive], self.step)
        self.guide.work()
        self._ask()
        self._admit()
        if self.step % steps(_HURRY_SECONDS) == 0:
            self._hurry()
        self._move()
        self.step += 1

    # -- for guides and troubles ---------------------------------------------------------------------------------------

    def tell(self, told: Mapping[int, tuple[int, ...]]) -> None:
        """Give nodes other peers to ask; what is under way from former ones comes to its end."""
        fresh = np.zeros(self.pieces.peers.shape, np.bool_)
        for node, peers in told.items():
            fresh[node, list(self.pieces.tell(node, peers, self.step))] = True
            self.moved[node] = self.step
        slots = self.flights["slot"]
        slots[(slots >= 0) & fresh[self.flights["node"], slots]] = -1

    def claim(self, node: int, pieces: Ints) -> None:
        """Have a node leave these pieces to itself, of which it lacks some: it asks no peer for them."""
        mine = pieces[self.pieces.lacks[node, pieces]]
        self.pieces.take(np.full(len(mine), node), mine, self.step)

    def fetch(self, node: int, first: int, end: int, order: int) -> None:
        """Have a node ask the origin for pieces that it claimed."""
        begins = self.step + steps(self.costs.request_s)
        columns = {"node": node, "source": self.origin, "slot": -1, "piece": first, "end": end, "order": order}
        self.flights.add(1, **columns, begins=begins, asked=self.step)
        self._go_on(1)

    def _go_on(self, count: int) -> None:
        """Give the newest ranges what came of their first pieces before."""
        if self._parts:
            for place in range(len(self.flights) - count, len(self.flights)):
                key = int(self.flights["node"][place]), int(self.flights["piece"][place])
                self.flights.got[place] = self._parts.pop(key, 0.0)

    def _keep_parts(self, those: Bools) -> None:
        """Remember what came of the pieces of ranges that break."""
        flights = self.flights
        for node, piece, got in zip(flights["node"][those], flights["piece"][those], flights.got[those], strict=True):
            self._parts[int(node), int(piece)] = float(got)

    def stop(self, node: int, order: int, pieces: Ints) -> None:
        """Have a node fetch nothing more by this order; these pieces, as far as it lacks them, may come from peers."""
        its = self.flights["order"] == order
        self._keep_parts(its)
        self.flights.keep(~its)
        lost = pieces[~self.pieces.has[node, pieces] & ~self.pieces.lacks[node, pieces]]
        self.pieces.give_up(np.full(len(lost), node), lost, self.step)

    def cut(self, those: Bools) -> None:
        """Break the ranges of a mask that come from peers, and forget those of nodes that are gone."""
        for place in np.flatnonzero(those & (self.flights["order"] < 0)).tolist():
            node, slot, piece, end = (int(self.flights[name][place]) for name in ("node", "slot", "piece", "end"))
            lost = np.arange(piece, end)
            self.pieces.give_up(np.full(len(lost), node), lost, self.step)
            if slot >= 0:
                self.pieces.streams[node, slot] -= 1
        self._keep_parts(those & ~self.lies[np.minimum(self.flights["source"], self.origin - 1)])
        self.flights.keep(~those)

    def kill(self, node: int) -> None:
        """Have a node vanish."""
        self.lives[node] = False
        self.cut((self.flights["node"] == node) | (self.flights["source"] == node))
        self.pieces.withdraw(node, self.step)
        self.guide.lost(node)

    def bits(self, nodes: Ints) -> dict[int, dict[Digest, Bits]]:
        """The pieces that these nodes have of each blob."""
        return self._packed(nodes, self.pieces.has[nodes])

    def told(self, nodes: Ints) -> dict[int, dict[Digest, Bits]]:
        """The pieces that others know these nodes to have."""
        return self._packed(nodes, self.pieces.offered[nodes] <= self.step)

    def _packed(self, nodes: Ints, rows: Bools) -> dict[int, dict[Digest, Bits]]:
        found: dict[int, dict[Digest, Bits]] = {node: {} for node in nodes.tolist()}
        for name, start in self.starts.items():
            count = piece_count(self.sizes[name])
            packed = np.packbits(rows[:, start : start + count], axis=1, bitorder="little")
            for node, row in zip(found, packed, strict=True):
                found[node][name] = Bits(count, int.from_bytes(row.tobytes(), "little"))
        return found

    # -- transfers -----------------------------------------------------------------------------------------------------

    def _streams(self) -> Ints:
        found: Ints = self.pieces.streams.sum(1)
        return found

    def _ask(self) -> None:
        """Have nodes with free streams ask their peers for more, one range each in turn."""
        costs, streams = self.costs, self.pieces.streams
        asked: list[tuple[Ints, ...]] = []
        free = np.flatnonzero(self.waits)
        for _ in range(costs.down_streams):
            found = self.pieces.choose(
                free[streams[free].sum(1) < costs.down_streams], self.step, costs.per_peer, costs.run
            )
            free, good = found.nodes, found.length > 0
            nodes, slots, first, length = (each[good] for each in (found.nodes, found.slots, found.first, found.length))
            if not len(nodes):
                break
            peers = self.pieces.peers[nodes, slots]
            what = np.repeat(first - np.cumsum(length) + length, length) + np.arange(length.sum())
            self.pieces.take(np.repeat(nodes, length), what, self.step)
            np.add.at(streams, (nodes, slots), 1)
            asked.append((nodes, peers, slots, first, first + length))
        if asked:
            every = [np.concatenate(each) for each in zip(*asked, strict=True)]
            turns = self.random.permutation(len(every[0]))
            node, source, slot, piece, end = (each[turns] for each in every)
            columns = {"node": node, "source": source, "slot": slot, "piece": piece, "end": end}
            self.flights.add(len(node), **columns, order=-1, begins=WAITS, asked=self.step + steps(costs.request_s))
            self._go_on(len(node))

    def _admit(self) -> None:
        """Have peers begin to send what they were asked for, so many bodies at once, and so many with the same piece;
        who has waited for too long is refused."""
        flights, costs = self.flights, self.costs
        waiting = np.flatnonzero((flights["begins"] == WAITS) & (flights["asked"] <= self.step))
        if not len(waiting):
            return
        sends = (flights["begins"] != WAITS) & (flights["order"] < 0)
        source, piece = flights["source"], flights["piece"]
        bodies = np.bincount(source[sends], minlength=self.origin)
        free = bodies[source[waiting]] + ranks_among(source[waiting]) < costs.uploads
        asked = np.zeros(self.origin + 1, np.bool_)
        asked[source[waiting]] = True
        is_fresh = flights["begins"] > self.step - steps(costs.copy_s)
        sent = np.flatnonzero(sends & is_fresh & asked[source])
        lengths = flights["end"][sent] - piece[sent]
        under_way = np.repeat(source[sent] * len(self.bytes) + piece[sent] - np.cumsum(lengths) + lengths, lengths)
        under_way = np.sort(under_way + np.arange(lengths.sum()))
        wanted = source[waiting] * len(self.bytes) + piece[waiting]
        same = np.searchsorted(under_way, wanted, "right") - np.searchsorted(under_way, wanted)
        free &= same + ranks_among(wanted) < costs.copies
        flights["begins"][waiting[free]] = self.step
        late = waiting[~free & (flights["asked"][waiting] + steps(costs.busy_s) <= self.step)]
        if len(late):
            known = late[flights["slot"][late] >= 0]
            self.pieces.rests[flights["node"][known], flights["slot"][known]] = self.step + steps(costs.rest_s)
            refused = np.zeros(len(flights), np.bool_)
            refused[late] = True
            self.cut(refused)

    def _hurry(self) -> None:
        """Where a node has nothing else to ask for, others may bring what a slow peer is long about."""
        flights = self.flights
        idle = self.waits & (self._streams() < self.costs.down_streams) & (self.pieces.useful.sum(1) == 0)
        node, slot = flights["node"], flights["slot"]
        late = (slot >= 0) & idle[node] & (flights["begins"] + steps(_HURRY_SECONDS) <= self.step)
        if not late.any():
            return
        left = (flights["end"] - flights["piece"]) * PIECE - flights.got
        late &= left > _LATE_SECONDS * flights.rate
        places = np.flatnonzero(late)
        # Somebody else must offer the piece that comes, or the ones behind it.
        others = self.pieces.rarity[node[places], flights["piece"][places]] > 1
        slowest = np.zeros(len(flights), np.bool_)
        slowest[places[others]] = flights.rate[places[others]] < np.median(flights.rate) / 4
        for place in places.tolist():
            first, end = int(flights["piece"][place]) + 1, int(flights["end"][place])
            if first < end and not slowest[place]:
                lost = np.arange(first, end)
                self.pieces.give_up(np.full(len(lost), int(node[place])), lost, self.step)
                flights["end"][place] = first
        self.cut(slowest)

    def _move(self) -> None:
        flights = self.flights
        if not len(flights):
            return
        flights.share(self.up, self.down, self.step)
        moved = flights.rate * STEP
        flights.got += moved
        node, source = flights["node"], flights["source"]
        self.sent += np.bincount(source, moved, len(self.sent))
        of_origin = source == self.origin
        self.pieces.learn(node, flights["slot"], flights.rate)
        self.fetched += np.bincount(node[of_origin], moved[of_origin], self.origin)
        self.moved[node[flights.rate > 0]] = self.step
        ended = np.zeros(len(flights), np.bool_)
        ordered: list[tuple[int, int]] = []
        while True:
            wanted = self.bytes[np.minimum(flights["piece"], len(self.bytes) - 1)]
            places = np.flatnonzero(~ended & (flights.got >= wanted))
            if not len(places):
                break
            pieces = flights["piece"][places]
            flights.got[places] -= self.bytes[pieces]
            flights["piece"][places] += 1
            ended[places[flights["piece"][places] >= flights["end"][places]]] = True
            ordered += self._arrive(places, pieces)
        if ended.any():
            slots, nodes = flights["slot"][ended], node[ended]
            # What was counted beyond the end of a range was never sent.
            self.sent -= np.bincount(source[ended], flights.got[ended], len(self.sent))
            np.add.at(self.pieces.streams, (nodes[slots >= 0], slots[slots >= 0]), -1)
            flights.keep(~ended)
        for who, order in ordered:
            self.guide.arrived(who, order)

    def _arrive(self, places: Ints, pieces: Ints) -> list[tuple[int, int]]:
        """Check pieces that came, and offer them; altered ones are noticed here, and the peer is asked no more. Returns
        the nodes and orders of those that came from the origin."""
        flights = self.flights
        nodes, sources, slots, orders = (flights[name][places] for name in ("node", "source", "slot", "order"))
        bad = (sources < self.origin) & self.lies[np.minimum(sources, self.origin - 1)]
        if bad.any():
            self.pieces.give_up(nodes[bad], pieces[bad], self.step)
            asked = bad & (slots >= 0)
            self.pieces.rests[nodes[asked], slots[asked]] = NEVER * 2
            for node, source, piece in zip(
                nodes[bad].tolist(), sources[bad].tolist(), pieces[bad].tolist(), strict=True
            ):
                self.guide.met(source, node, piece)
        good = ~bad & ~self.pieces.has[nodes, pieces]
        nodes, pieces, orders = nodes[good], pieces[good], orders[good]
        self.pieces.has[nodes, pieces] = True
        np.add.at(self.got, nodes, 1)
        self.fresh[nodes] = True
        self.news += len(nodes)
        delays = self.costs.check_s + self.random.uniform(0.1, max(0.1, self.costs.news_s), len(nodes))
        at = self.step + np.maximum(1, np.rint(delays / STEP)).astype(np.int64)
        for step in np.unique(at).tolist():
            self._offers[step].append((nodes[at == step], pieces[at == step]))
        for node in np.unique(nodes[self.got[nodes] == self.pieces.count]).tolist():
            self.done[node] = self.step + steps(self.costs.finish_s)
            self.guide.finished(node)
        ordered = orders >= 0
        return list(zip(nodes[ordered].tolist(), orders[ordered].tolist(), strict=True))


def _piece_bytes(size: int) -> Ints:
    found = np.full(piece_count(size), PIECE, np.int64)
    found[-1] = size - PIECE * (len(found) - 1)
    return found
