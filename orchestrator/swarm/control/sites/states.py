"""States of the nodes of a site: they merge in any order, and a version vector says what the other side lacks.

The writer of a state is the node alone, and its clock is (epoch, number); the number grows with what the node says. So
of two states of a node the later one counts, a late word of a former connection is dropped, and after a partition each
side sends what the vector of the other has not seen. Bytes need no clock: the same digest is the same content.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core.files import Digest
from orchestrator.core.versions import Clock, Dot, Vector
from orchestrator.errors import ProtocolError
from orchestrator.swarm.units import Bits, Unit

MOST_NODES = 4096
"""Nodes of a site."""
MOST_BYTES = 64 << 20
"""Bytes of what is remembered of a site: of the sets, and about so many for each of them and each node."""
_EACH = 256

Good = Digest | str
"""A blob, or the fingerprint of a list of small files."""


@dataclass(frozen=True, slots=True)
class SiteGood:
    """The pieces of a blob, or the files of a list, that a node has, and the number of the word that said so.
    `is_whole`: it has all of them, of a blob proven; then the set is left empty, since it may be of millions."""

    number: int
    has: Bits
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class SiteNode:
    """A node as its site knows it. `number` is twice that of its last word that changed anything, and odd once the site
    has lost it. `brings`: what it fetches from an origin now."""

    node: str
    epoch: int
    number: int
    address: str = ""
    zone: str = ""
    shares_restricted: bool = False
    brings: tuple[Unit, ...] = ()
    goods: Mapping[Good, SiteGood] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        """The version of this state."""
        return self.epoch, self.number

    @property
    def seq(self) -> int:
        """The number of the word of the node itself."""
        return self.number >> 1

    @property
    def is_lost(self) -> bool:
        """True for one that does not answer its site, or has left."""
        return bool(self.number & 1)

    def __or__(self, other: SiteNode) -> SiteNode:
        """The later state, with the latest word on each good: the merge, which is commutative, associative and
        idempotent. What was said before a restart is nothing any more."""
        older, newer = sorted((self, other), key=lambda one: one.clock)
        if older.epoch != newer.epoch:
            return newer
        goods = dict(older.goods)
        for good, said in newer.goods.items():
            if good not in goods or said.number >= goods[good].number:
                goods[good] = said
        return replace(newer, goods=goods)

    def lost(self) -> SiteNode:
        """The same one, lost."""
        return replace(self, number=self.number | 1, brings=())


@dataclass(frozen=True, slots=True)
class SiteNews:
    """A node, with the goods that are new to who has seen it up to the number `since` of the same epoch; 0: to all."""

    node: SiteNode
    since: int = 0

    @classmethod
    def after(cls, node: SiteNode, seen: Vector) -> SiteNews | None:
        """The news of a node for who has seen so much; None when there is none."""
        epoch, number = seen.clocks.get(node.node, (0, 0))
        if Dot(node.node, node.clock) in seen:
            return None
        since = number if epoch == node.epoch else 0
        goods = {good: said for good, said in node.goods.items() if said.number > since or not since}
        return cls(replace(node, goods=goods), since)


class SiteStates:
    """All that another site has said about its nodes."""

    def __init__(self) -> None:
        self.nodes: dict[str, SiteNode] = {}
        self._bytes = 0

    @property
    def vector(self) -> Vector:
        """The vector of what was seen of each node."""
        return Vector({name: node.clock for name, node in self.nodes.items()})

    def take(self, news: SiteNews) -> Collection[Good]:
        """Take news, and return the goods of which something changed; a late word changes nothing.

        Raises ProtocolError for news that others must have come before, and where there is no room for it: then all is
        to be told from the vector on.
        """
        told = news.node
        known = self.nodes.get(told.node)
        if known is not None and told.epoch < known.epoch:
            return ()
        if news.since and (known is None or known.epoch != told.epoch or known.number < news.since):
            raise ProtocolError("a site tells what is new of a node without what came before")
        merged = told if known is None else known | told
        size = self._bytes + _size(merged) - (_size(known) if known else 0)
        if size > MOST_BYTES or (known is None and len(self.nodes) >= MOST_NODES):
            raise ProtocolError(
                f"a site tells more than is remembered of one: {MOST_NODES} nodes, and {MOST_BYTES >> 20} MiB of what "
                "they have"
            )
        self.nodes[told.node], self._bytes = merged, size
        before = known.goods if known is not None and known.epoch == told.epoch else {}
        return [good for good, said in merged.goods.items() if before.get(good) is not said]

    def forget_lost(self) -> None:
        """Forget the nodes that the site has lost; one that comes back is told whole."""
        self.nodes = {name: node for name, node in self.nodes.items() if not node.is_lost}
        self._bytes = sum(map(_size, self.nodes.values()))


def parts(news: SiteNews, most: int) -> Iterator[SiteNews]:
    """The same news in parts whose sets have no more than about so many bytes. All but the last have the clock that was
    seen before, so that what breaks off between them is told again."""
    goods: dict[Good, SiteGood] = {}
    size = 0
    for good, said in news.node.goods.items():
        if goods and size + _weight(said) > most:
            yield SiteNews(replace(news.node, number=news.since, brings=(), goods=goods), news.since)
            goods, size = {}, 0
        goods[good] = said
        size += _weight(said)
    yield SiteNews(replace(news.node, goods=goods), news.since)


def _weight(good: SiteGood) -> int:
    return _EACH + (0 if good.is_whole else good.has.count // 8)


def _size(node: SiteNode) -> int:
    return _EACH + sum(map(_weight, node.goods.values()))
