"""Rendezvous: which node fetches which unit of a blob from the origin, decided by each node for itself.

All who fetch a blob know each other and hash the same: the owner of a unit is the node with the highest xxh64 of
(node, digest, unit). A node asks the origin for the units that it owns and nobody offers, and gets the rest from the
others. So nobody has to agree on anything, and when nodes know different others for a while, some bytes come twice.

A node asks for a few pieces at a time, the first that are missing: its window. So others can tell what it has under
way, and the nodes that have brought all of their own take over what lies well behind the window of a slower node. When
that node, or the one that helps it, brings nothing any more, the next in rank takes its place.
Times are monotonic seconds that the caller gives.
"""

from __future__ import annotations

import functools
import math
import operator
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import xxhash

from orchestrator.core.extents import Ranges
from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import Holding
from orchestrator.swarm.units import Bits, piece_count, unit_bytes

ALIVE_SECONDS = 6.0
"""A peer that has not answered for so long is no member, and others own what it owned."""
ALONE_SECONDS = 3.0
"""A node that hears of nobody else waits for so long, and up to so long again by chance, before it fetches all."""
STALLED_SECONDS, STALLED_PIECES = 10.0, 2.0
"""A member that has brought nothing of its own for so long, and for the time in which each brings so many pieces, loses
it to those who have nothing else to do."""
STARVED_SECONDS = 20.0
"""A node to which nothing comes for so long, from anybody, believes no more what others offer of the blob."""
_SETTLE_SECONDS = 1.5
"""For so long a node looks for others before it asks an origin; one that comes late lets them finish what they have
under way of its units."""
_PASSING_SECONDS = 5.0
"""For so long after nodes came, each brings to its end what it had under way, and those that came leave that alone."""
_KNOWN_SECONDS = 1.0
"""Those that come know what a node has had for so long."""
_SURE_SECONDS = 0.5
"""A node that has had nothing of its own to bring for so long, of any blob, helps others."""
_PACE_SECONDS = 2.0
_FIRST_WINDOW, _LEAST_WINDOW = 4, 2
_LUCKY = 7 << 61
"""A hash from here on, one of eight, is likely to be the highest of a few nodes."""


@dataclass(frozen=True, slots=True)
class Other:
    """A member that has, or fetches, the blob: its name, and the pieces that it offers."""

    node: str
    has: Bits


@functools.lru_cache(maxsize=4096)
def _weights(node: str, digest: Digest, count: int) -> tuple[int, ...]:
    return tuple(xxhash.xxh64_intdigest(f"{node}|{digest}|{unit}".encode()) for unit in range(count))


def ranking(nodes: Iterable[str], digest: Digest, units: int) -> tuple[tuple[str, ...], ...]:
    """For each unit of a blob the nodes, its owner first."""
    known = sorted(nodes)
    weights = {node: _weights(node, digest, units) for node in known}
    return tuple(tuple(sorted(known, key=lambda node: weights[node][unit], reverse=True)) for unit in range(units))


def needing(node: str, whole: Collection[Digest], others: Mapping[str, Mapping[Digest, Holding]]) -> frozenset[str]:
    """The others that lack pieces of the blobs that this node has `whole`, and that nobody else is sure to give them.

    Who lacks something stays, and so does of those that lack nothing the one whose name is the least. Who is in a
    dispute over a blob may lack any of its pieces.
    """
    lacking = {name: [one for one in has.values() if not one.is_whole] for name, has in others.items()}
    staying = {name for name, lacks in lacking.items() if lacks or name < node}
    found = set()
    for name, lacks in lacking.items():
        for holding in lacks:
            left = Bits.full(holding.checked.count) - holding.checked
            for other in staying - {name}:
                theirs = others[other].get(holding.digest)
                if theirs is not None:
                    left = Bits(left.count) if theirs.is_whole else left - theirs.checked
            if (left or holding.claims) and holding.digest in whole:
                found.add(name)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of a node, as it knows it `now`. Seconds: for how long nothing came to it (`starved`), and it has had
    nothing of its own to bring (`idle`), of any blob. `is_alone`: no other node is there. It `waits` for others to show
    up; it `settles` when it is to ask for nothing before it knows what they have."""

    now: float
    starved: float = 0.0
    idle: float = 0.0
    is_alone: bool = True
    waits: bool = False
    settles: bool = False


class NodeClocks:
    """The clocks of a node, by which it knows its moments. `chance` is a number from 0 to 1, the node's own: those who
    wait for the same do not end their wait together."""

    def __init__(self, now: float, chance: float) -> None:
        self._chance = chance
        self._waits = now + ALONE_SECONDS * (1 + chance)
        self._settles = now + _SETTLE_SECONDS
        self._fed = self._busy = now
        self._is_alone = True

    def moment(self, now: float, *, gets: bool, brings: bool, others: Iterable[bool]) -> Moment:
        """The moment `now`, in which something has come since the last one (`gets`), or the node has something of its
        own to bring. `others` says of each node that is there whether it offers anything."""
        offers = tuple(others)
        if self._is_alone and offers:
            self._settles = now + _SETTLE_SECONDS if any(offers) else now
        self._is_alone = not offers
        self._fed = now if gets else self._fed
        self._busy = now if brings else self._busy
        # Those who starve of the same do not all go to the origin at once.
        starved = (now - self._fed) / (1 + self._chance)
        return Moment(now, starved, now - self._busy, self._is_alone, now < self._waits, now < self._settles)


class Share:
    """The share of one node in fetching one blob. Asked again and again, it says what to ask the origin for now."""

    def __init__(self, node: str, digest: Digest, size: int, began: float) -> None:
        self._node = node
        self._digest = digest
        self._size = size
        self._began = began
        each = unit_bytes(size) // PIECE
        self._pieces = piece_count(size)
        self._units = tuple(
            ((1 << min(each, self._pieces - first)) - 1) << first for first in range(0, self._pieces, each)
        )
        self._members: frozenset[str] = frozenset()
        self._ranks: tuple[tuple[str, ...], ...] = ()
        self._owned: Mapping[str, int] = {}
        self._seen = self._brought = 0
        self._moved = began
        self._asked = self._avoided = 0
        self._changed = began
        self._known = math.inf
        self._paces: dict[str, _Pace] = {}
        self._doubted: set[str] = set()
        self.brings = False
        """The node has something of its own to bring of this blob."""

    def of(self, moment: Moment, own: Bits, others: Sequence[Other]) -> Ranges:
        """The ranges that this node may ask the origin for. `own` are the pieces that it has, `others` the members with
        what they offer."""
        now = moment.now
        if moment.starved >= STARVED_SECONDS:
            self._doubted |= {other.node for other in others if other.has - own}
        offers = {other.node: 0 if other.node in self._doubted else other.has.mask for other in others}
        offered = functools.reduce(operator.or_, offers.values(), 0)
        self._note(now, own.mask, offered, offers)
        missing = ((1 << self._pieces) - 1) & ~(offered | own.mask)
        mine = missing & self._owned[self._node]
        if now < self._changed + _PASSING_SECONDS:
            mine &= ~self._avoided
        if not others and (moment.waits or (not moment.is_alone and now < self._began + _SETTLE_SECONDS)):
            mine &= self._lucky
        # What is under way is not stopped because others own it now, or because somebody's pace is another now.
        under_way = missing & self._asked
        self.brings = bool(mine)
        if moment.settles:
            mask = under_way
        elif mine:
            mask = under_way | self._window(self._node, mine, now)
        else:
            under_way &= self._help(moment, missing, windows=1)
            mask = under_way | _last(self._help(moment, missing, windows=2), self._paces[self._node].window(now))
        self._asked = mask
        return Bits(self._pieces, mask).ranges(self._size)

    @functools.cached_property
    def _lucky(self) -> int:
        weights = _weights(self._node, self._digest, len(self._units))
        return sum(unit for unit, weight in zip(self._units, weights, strict=True) if weight >= _LUCKY)

    def _note(self, now: float, own: int, offered: int, offers: Mapping[str, int]) -> None:
        """Note who came, who went, and who brought pieces that nobody had before."""
        if own and self._known == math.inf:
            self._known = now
        members = frozenset((self._node, *offers))
        fresh, is_new = (own | offered) & ~self._seen, members != self._members
        if is_new:
            self._avoided = 0 if own else self._under_way(own | offered, [node for node, has in offers.items() if has])
            self._changed = now
            if now < self._known + _KNOWN_SECONDS:
                self._asked = 0
            self._members = members
            self._paces = {node: self._paces.get(node) or _Pace(now) for node in members}
            self._ranks = ranking(members, self._digest, len(self._units))
            self._owned = self._shares(self._ranks)
        for node, has in ((self._node, own), *offers.items()):
            self._paces[node].note(now, (has & ~self._seen).bit_count())
        if fresh and not is_new:
            self._brought, self._moved = self._brought + fresh.bit_count(), now
        self._seen |= own | offered

    def _each(self) -> float:
        """The seconds in which each node has brought a piece, until the last one came; 0 before that."""
        return (self._moved - self._began) * len(self._members) / self._brought if self._brought else 0.0

    def _shares(self, ranks: Sequence[Sequence[str]]) -> Mapping[str, int]:
        """The pieces that each node owns."""
        owned: defaultdict[str, int] = defaultdict(int)
        for unit, (owner, *_) in zip(self._units, ranks, strict=True):
            owned[owner] |= unit
        return owned

    def _under_way(self, had: int, others: Sequence[str]) -> int:
        """The pieces that others are likely to have under way, who have not heard of this node yet."""
        owned = self._shares(ranking(others, self._digest, len(self._units))) if others else {}
        return functools.reduce(operator.or_, (first_pieces(mask & ~had, _FIRST_WINDOW) for mask in owned.values()), 0)

    def _window(self, node: str, mask: int, now: float, windows: int = 1) -> int:
        """The pieces of these that a node has under way, or is about to ask for."""
        return first_pieces(mask, self._paces[node].window(now) * windows)

    def _help(self, moment: Moment, missing: int, *, windows: int) -> int:
        """The pieces that this node takes over from others, once it has brought all of its own: it is the first in rank
        of those that have, and still move."""
        now, idle = moment.now, moment.idle
        if idle < _SURE_SECONDS:
            return 0
        patience = max(STALLED_SECONDS, STALLED_PIECES * self._each())
        stalled = {node for node, pace in self._paces.items() if min(now - pace.moved, idle) >= patience}
        busy = {node: missing & owned for node, owned in self._owned.items() if missing & owned}
        near = {node: self._window(node, left, now, windows) for node, left in busy.items() if node not in stalled}
        found = 0
        for unit, (owner, *others) in zip(self._units, self._ranks, strict=True):
            if left := unit & missing & ~near.get(owner, 0):
                heirs = (node for node in others if node == self._node or not (node in busy or node in stalled))
                found |= left if next(heirs, None) == self._node else 0
        return found


class _Pace:
    """The pieces that a node brought lately."""

    def __init__(self, now: float) -> None:
        self.moved = now
        self._began = now
        self._brought: deque[tuple[float, int]] = deque()

    def note(self, now: float, pieces: int) -> None:
        """It has so many more pieces that nobody had before."""
        while self._brought and self._brought[0][0] <= now - _PACE_SECONDS:
            self._brought.popleft()
        if pieces:
            self.moved = now
            self._brought.append((now, pieces))

    def window(self, now: float) -> int:
        """The number of pieces that it asks for at once: what it brings in 2 s, and a few."""
        lately = _LEAST_WINDOW + sum(pieces for _, pieces in self._brought)
        return max(lately, _FIRST_WINDOW) if now < self._began + _PACE_SECONDS else lately


def first_pieces(mask: int, count: int) -> int:
    """The first `count` pieces of these."""
    found = 0
    while mask and count:
        low = mask & -mask
        found, mask, count = found | low, mask ^ low, count - 1
    return found


def _last(mask: int, count: int) -> int:
    """The last `count` pieces of these."""
    found = 0
    while mask and count:
        high = 1 << (mask.bit_length() - 1)
        found, mask, count = found | high, mask ^ high, count - 1
    return found
