"""The peers that each node asks: few, near, and such that news reaches everybody in a few steps.

The nodes stand on eight rings, each in another order without a pattern, and a node asks the next one on each. So eight
others ask it: no uplink lies idle, and none is shared by many. Who joins or leaves changes the peers of eight nodes.
Nodes of another site are asked by a few of this one, its gates, from which the others have what came: so the line
between the sites carries a few copies and not one for each node.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from orchestrator.swarm.goods import is_whole, order
from orchestrator.swarm.trust import living_nodes
from orchestrator.swarm.view import BlobView, FleetView, GoodView, NodeState, NodeView, Peers

MOST_PEERS, FROM_OTHER_ZONES = 8, 2
GATES = 4
"""Nodes of this site that ask those of others."""
MOST_ASKERS = 32
"""More nodes than these are not sent to one holder."""

RENEW_AFTER = 2.0
"""Seconds for which a node that starves, or could ask a node that few ask, keeps the peers that it was told."""

MOST_RENEWALS = 250
"""Nodes that are told new peers by one plan; the others are by the next one."""

_WALK = 32
_FEW = 4
"""Nodes of a ring, where one is not enough; goods that a node lacks, where the others would say the same."""


def renewals(view: FleetView, trusted: frozenset[str], now: float) -> Iterator[Peers]:
    """New peers for nodes that have none, too few, or one that is gone, for those that starve, and for those that make
    that a node is asked by many or by few, as it comes when nodes join. Nodes that nobody is to ask may ask others."""
    living = living_nodes(view, now)
    askers = Counter(chain.from_iterable(view.nodes[name].peers for name in living))
    members = [name for name in trusted if view.nodes[name].state != NodeState.JOINING]
    wanting = frozenset[str]().union(*(good.wanted_by for good in view.goods))
    holders = {view.nodes[name].holder for name in trusted}
    due = {name for name in living & wanting if _is_due(view.nodes[name], trusted, holders, now)}
    uneven = _uneven(view, members, askers) if len(members) > MOST_PEERS else frozenset()
    if not due and not uneven:
        return
    crowd = _Crowd(view, members, askers, _gates(view, members))
    few = [name for name in uneven if askers[name] < MOST_PEERS]

    def evening() -> Iterator[str]:
        waited = {name for name in living if now - view.nodes[name].told >= RENEW_AFTER} if uneven else set()
        yield from (name for name in waited if not uneven.isdisjoint(view.nodes[name].peers))
        yield from waited.intersection(crowd.before(few)) if waited else ()

    left = MOST_RENEWALS
    for node in _in_turn(view, due, evening):
        lacks = [good for good in view.goods if node.id in good.wanted_by and not is_whole(good, node.id)]
        lacks = [good for good in lacks if node.shares_restricted or not good.is_restricted]
        found = crowd.choose(node, lacks) if lacks else ()
        if found and set(found) != set(node.peers):
            yield Peers(node.id, found)
            left -= 1
            if not left:
                return


def _in_turn(view: FleetView, due: Set[str], others: Callable[[], Iterable[str]]) -> Iterator[NodeView]:
    """Nodes that have no peers, and then all that are due or among the others, who was told longest ago first. While
    many join, a plan comes to no others."""

    def turn(name: str) -> tuple[float, str]:
        return view.nodes[name].told, name

    bare = {name for name in due if not view.nodes[name].peers}
    yield from (view.nodes[name] for name in sorted(bare, key=turn))
    yield from (view.nodes[name] for name in sorted({*due, *others()} - bare, key=turn))


def _gates(view: FleetView, members: Sequence[str]) -> frozenset[str]:
    """The nodes of this site that ask those of others, if there are any: a few of those that are to get each good, and
    first of those that are at it."""
    own = {name for name in members if not view.nodes[name].site}
    if len(own) == len(members):
        return frozenset()
    ranked = sorted(own, key=lambda name: order("gate", name))
    few: dict[tuple[frozenset[str], frozenset[str], bool], Sequence[str]] = {}
    for good in view.goods:
        key = good.wanted_by, good.waiting, good.is_restricted
        if key not in few:
            fit = [name for name in ranked if name in good.wanted_by]
            fit = [name for name in fit if view.nodes[name].shares_restricted or not good.is_restricted]
            few[key] = sorted(fit, key=lambda name: name in good.waiting)[:GATES]
    return frozenset(name for names in few.values() for name in names)


def _uneven(view: FleetView, members: Sequence[str], askers: Counter[str]) -> frozenset[str]:
    """The nodes that are asked by more or by fewer others than the rings would have ask them. Many are to ask who has a
    blob whole. The next node of another zone is sometimes that of several: there, more counts as even."""
    holders = {holder for blob in view.blobs.values() for holder in blob.holders}
    slack = 1 if len({view.nodes[name].zone for name in members}) == 1 else MOST_PEERS // 2
    return frozenset(
        name
        for name in members
        if askers[name] < MOST_PEERS - slack or (askers[name] > MOST_PEERS + slack and name not in holders)
    )


def _is_due(node: NodeView, trusted: frozenset[str], holders: Set[str], now: float) -> bool:
    others = len(holders) - (node.holder in holders)
    if len(node.peers) < min(MOST_PEERS, others) or not trusted.issuperset(node.peers):
        return True
    return node.starves and now - node.told >= RENEW_AFTER


@dataclass(frozen=True, slots=True)
class _Ring:
    """Nodes in an order without a pattern, the places of them in it, and which of them each one is."""

    salt: int
    places: Sequence[int]
    names: Sequence[str]
    index: Mapping[str, int]

    @classmethod
    def of(cls, names: Iterable[str], salt: int) -> _Ring:
        placed = sorted((order(salt, name), name) for name in names)
        found = [name for _, name in placed]
        return cls(salt, [place for place, _ in placed], found, {name: number for number, name in enumerate(found)})

    def after(self, name: str) -> Iterator[str]:
        """Those that follow this node, itself left out, and only a bounded number of them."""
        begin = self.index.get(name, -1) + 1 or bisect_right(self.places, order(self.salt, name))
        for step in range(min(len(self.names), _WALK)):
            found = self.names[(begin + step) % len(self.names)]
            if found != name:
                yield found

    def before(self, name: str) -> str:
        """The one that comes before this node, which is on the ring."""
        return self.names[self.index[name] - 1]


@dataclass(frozen=True, slots=True)
class _Rings:
    """The rings of each zone, and those of all nodes."""

    near: Mapping[str, Sequence[_Ring]]
    far: Sequence[_Ring]


@lru_cache(maxsize=2)  # the same nodes stand there in most plans, and 10,000 are ordered in 0.3 s
def _rings(zones: frozenset[tuple[str, frozenset[str]]]) -> _Rings:
    """The rings of these zones and their nodes."""
    near = MOST_PEERS - FROM_OTHER_ZONES if len(zones) > 1 else MOST_PEERS
    every = frozenset[str]().union(*(names for _, names in zones))
    return _Rings(
        {zone: [_Ring.of(names, salt) for salt in range(near)] for zone, names in zones},
        [_Ring.of(every, salt) for salt in range(near, MOST_PEERS)],
    )


class _Crowd:
    """Those who can be asked, on their rings, those of a zone on rings of their own; and how many ask each of them. Of
    another site nodes are asked by `gates` only."""

    def __init__(
        self, view: FleetView, members: Sequence[str], askers: Counter[str], gates: frozenset[str] = frozenset()
    ) -> None:
        self._nodes, self._askers, self._gates = view.nodes, askers, gates
        self._members = frozenset(members)
        zones: dict[str, list[str]] = {}
        self._mates: dict[str, list[str]] = {}
        for name in members:
            zones.setdefault(view.nodes[name].zone, []).append(name)
            self._mates.setdefault(view.nodes[name].holder, []).append(name)
        rings = _rings(frozenset((zone, frozenset(names)) for zone, names in zones.items()))
        self._near, self._far = rings.near, rings.far

    def before(self, names: Iterable[str]) -> Iterator[str]:
        """Those that would ask these nodes, by the rings."""
        for name in names:
            for ring in self._near[self._nodes[name].zone]:
                yield ring.before(name)

    def choose(self, node: NodeView, lacks: Sequence[GoodView]) -> tuple[str, ...]:
        """The peers of a node that lacks these: one holder that is not asked by many, then those of the rings. A node
        that starves keeps those that have something new, and gets others that do. Of nodes that share a cache those
        count that have what the others of it have not, and those of its own have nothing for it."""

        def counts(other: str) -> bool:
            if (restricted and not self._nodes[other].shares_restricted) or not self._may_ask(node, other):
                return False
            return any(other in good.wanted_by or other in good.have for good in lacks)

        restricted = all(good.is_restricted for good in lacks)
        chosen = dict.fromkeys(self._holder(node, lacks))
        if node.starves:
            known = dict.fromkeys((*node.peers, *self._next(node, counts, most=_FEW)))
            known = {other: None for other in known if other in self._members and self._may_ask(node, other)}
            told = [other for other in known if _has_news(other, node.id, lacks)]
            chosen |= dict.fromkeys(sorted(told, key=lambda other: self._askers[other]))
        chosen |= dict.fromkeys(self._next(node, counts, most=1))
        apart: dict[str, Sequence[str]] = {}
        for other in chosen:
            if (holder := self._nodes[other].holder) not in apart:
                mates = [mate for mate in self._mates[holder] if mate != other and counts(mate)]
                apart[holder] = _tellers([other, *mates], node.id, lacks)
        found = tuple(chain.from_iterable(apart.values()))[:MOST_PEERS]
        self._askers.subtract(node.peers)
        self._askers.update(found)
        return found

    def _next(self, node: NodeView, counts: Callable[[str], bool], most: int) -> Iterator[str]:
        """So many that count of each ring, then more of all of them, until there are enough peers."""
        zone = node.zone
        away = [ring.after(node.id) for ring in self._far]
        if len(self._near) > 1:
            away = [(name for name in ring if self._nodes[name].zone != zone) for ring in away]
        rings = [*away, *(ring.after(node.id) for ring in self._near.get(zone, ()))]
        seen: set[str] = set()
        for depth in range(_WALK):
            for ring in rings:
                name = next((name for name in ring if self._nodes[name].holder not in seen and counts(name)), None)
                if name is not None:
                    seen.add(self._nodes[name].holder)
                    yield name
            if depth + 1 >= most and len(seen) >= MOST_PEERS:
                return

    def _may_ask(self, node: NodeView, other: str) -> bool:
        """True for one with another cache, at the same site unless the node is a gate."""
        theirs = self._nodes[other]
        return theirs.holder != node.holder and (node.id in self._gates or theirs.site == node.site)

    def _holder(self, node: NodeView, lacks: Sequence[GoodView]) -> tuple[str, ...]:
        """The holder of something that the node lacks whom the fewest ask; near ones first."""
        found = [
            holder
            for good in lacks
            if isinstance(good, BlobView)
            for holder in good.holders & self._members
            if self._may_ask(node, holder) and (self._askers[holder] < MOST_ASKERS or holder in node.peers)
        ]
        if not found:
            return ()
        away = {holder: self._nodes[holder].zone != node.zone for holder in found}
        return (min(away, key=lambda holder: (away[holder], self._askers[holder], order(node.id, holder))),)


def _tellers(mates: Sequence[str], node: str, lacks: Sequence[GoodView]) -> Sequence[str]:
    """The nodes of a cache that together have all that any of them has of what the node lacks; where none has, the one
    that has most. One process fetches a blob into its cache, and others of that cache have nothing of it until then."""
    if len(mates) == 1:
        return mates
    news = {mate: [_news(good, mate, node) for good in lacks] for mate in mates}

    def rank(mate: str) -> tuple[int, int]:
        has = sum(len(good.have[mate]) for good in lacks if mate in good.have)
        return -sum(map(int.bit_count, news[mate])), -has

    ranked = sorted(mates, key=rank)
    known, found = [0] * len(lacks), []
    for mate in ranked:
        if any(fresh & ~before for fresh, before in zip(news[mate], known, strict=True)):
            known = [fresh | before for fresh, before in zip(news[mate], known, strict=True)]
            found.append(mate)
    return found or ranked[:1]


def _has_news(other: str, node: str, lacks: Sequence[GoodView]) -> bool:
    """True if the other one has a piece that the node lacks, of what it fetches first."""
    return any(_news(good, other, node) for good in lacks[:_FEW])


def _news(good: GoodView, other: str, node: str) -> int:
    """The pieces of a good that the other one has and the node lacks, as a mask."""
    theirs, mine = good.have.get(other), good.have.get(node)
    return theirs.mask & ~(mine.mask if mine else 0) if theirs else 0
