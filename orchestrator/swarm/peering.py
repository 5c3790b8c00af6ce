"""The peers that each node asks: few, near, not busy, and such that news reaches everybody in a few steps."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.swarm.goods import is_whole, order
from orchestrator.swarm.view import BlobView, FleetView, GoodView, NodeState, NodeView, Peers

MOST_PEERS, FROM_OTHER_ZONES = 8, 2
MOST_ASKERS = 32
"""More nodes than these are not sent to one holder."""

RENEW_AFTER = 2.0
"""Seconds for which a node keeps the peers that it was told, unless one of them is gone."""

_MOST_RENEWALS = 250
_NEAR, _FAR = 24, 12
_FEW = 4


def renewals(view: FleetView, trusted: frozenset[str], now: float) -> Iterator[Peers]:
    """New peers for those nodes that have none, too few, or one that is gone, and for those that starve."""
    asking = sorted(
        (node for node in view.nodes.values() if node.id in trusted and _is_due(node, trusted, now)),
        key=lambda node: (bool(node.peers), node.told, node.id),
    )
    if not asking:
        return
    crowd = _Crowd(view, trusted)
    left = _MOST_RENEWALS
    for node in asking:
        lacks = [good for good in view.goods if node.id in good.wanted_by and not is_whole(good, node.id)]
        lacks = [good for good in lacks if node.shares_restricted or not good.is_restricted]
        if not lacks:
            continue
        found = crowd.choose(node, lacks)
        if set(found) != set(node.peers):
            yield Peers(node.id, found)
            left -= 1
            if not left:
                return


def _is_due(node: NodeView, trusted: frozenset[str], now: float) -> bool:
    if not node.peers or not trusted.issuperset(node.peers):
        return True
    few = len(node.peers) < min(MOST_PEERS, len(trusted) - 1)
    return (node.starves or few) and now - node.told >= RENEW_AFTER


@dataclass(frozen=True, slots=True)
class _Ring:
    """Nodes in an order without a pattern; it is walked from any place, and around its end."""

    places: Sequence[int]
    nodes: Sequence[NodeView]

    @classmethod
    def of(cls, nodes: Sequence[tuple[int, NodeView]]) -> _Ring:
        return cls([place for place, _ in nodes], [node for _, node in nodes])

    def walk(self, start: int, most: int, counts: Callable[[NodeView], bool]) -> list[NodeView]:
        """At most `most` nodes that count, from `start` on; after four times as many that do not, it ends."""
        found: list[NodeView] = []
        begin = bisect_left(self.places, start)
        for step in range(min(len(self.nodes), 4 * most)):
            node = self.nodes[(begin + step) % len(self.nodes)]
            if counts(node):
                found.append(node)
                if len(found) == most:
                    break
        return found


class _Crowd:
    """Those who can be asked, and how many ask each of them, those who are told so in this plan among them."""

    def __init__(self, view: FleetView, trusted: frozenset[str]) -> None:
        self._nodes = view.nodes
        self._load = Counter(peer for node in view.nodes.values() if node.id in trusted for peer in node.peers)
        placed = sorted(
            ((order(name), view.nodes[name]) for name in trusted if view.nodes[name].state != NodeState.JOINING),
            key=lambda placed: (placed[0], placed[1].id),
        )
        self._all = _Ring.of(placed)
        zones: dict[str, list[tuple[int, NodeView]]] = {}
        for place, node in placed:
            zones.setdefault(node.zone, []).append((place, node))
        self._zones = {zone: _Ring.of(members) for zone, members in zones.items()}
        self._trusted = trusted

    def choose(self, node: NodeView, lacks: Sequence[GoodView]) -> tuple[str, ...]:
        """The peers of a node: a holder if one is free, two of other zones, and the rest near."""
        for peer in node.peers:
            self._load[peer] -= 1
        restricted = all(good.is_restricted for good in lacks)

        def counts(other: NodeView) -> bool:
            return (
                other.id != node.id
                and (other.shares_restricted or not restricted)
                and any(other.id in good.wanted_by or other.id in good.have for good in lacks)
            )

        start = order(node.id, node.told)
        near = self._zones[node.zone].walk(start, _NEAR, counts) if node.zone in self._zones else []
        far = self._all.walk(start, _FAR, lambda other: other.zone != node.zone and counts(other))
        kept = [self._nodes[peer] for peer in node.peers if peer in self._trusted and counts(self._nodes[peer])]
        known = dict.fromkeys(other.id for other in (*near, *far, *kept))
        ranked = sorted(known, key=lambda other: (not _has_news(other, node.id, lacks), self._load[other]))
        chosen = self._holder(node, lacks)[:1]
        others = [other for other in ranked if other not in chosen]
        away = [other for other in others if self._nodes[other].zone != node.zone]
        home = [other for other in others if self._nodes[other].zone == node.zone]
        some = away[:FROM_OTHER_ZONES]
        chosen = (*chosen, *some, *home, *away[len(some) :])[:MOST_PEERS]
        self._load.update(chosen)
        return chosen

    def _holder(self, node: NodeView, lacks: Sequence[GoodView]) -> tuple[str, ...]:
        """The holder of something that the node lacks whom the fewest ask; near ones first."""
        found = [
            holder
            for good in lacks
            if isinstance(good, BlobView)
            for holder in good.holders & self._trusted
            if holder != node.id and self._load[holder] < MOST_ASKERS
        ]
        if not found:
            return ()
        away = {holder: self._nodes[holder].zone != node.zone for holder in found}
        return (min(away, key=lambda holder: (away[holder], self._load[holder], order(node.id, holder))),)


def _has_news(other: str, node: str, lacks: Sequence[GoodView]) -> bool:
    """True if the other one has a piece that the node lacks, of what it fetches first."""
    for good in lacks[:_FEW]:
        theirs = good.have.get(other)
        if theirs is None:
            continue
        mine = good.have.get(node)
        if theirs.mask & ~(mine.mask if mine else 0):
            return True
    return False
