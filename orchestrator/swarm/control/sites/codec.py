"""Words of sites to each other as protobuf, and back. What has no meaning raises ProtocolError."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from orchestrator.core.files import MAX_FILE, MAX_SIZE, Digest
from orchestrator.core.versions import Vector
from orchestrator.errors import ProtocolError
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.control.codec import digest_of
from orchestrator.swarm.control.messages import MOST_TEXT
from orchestrator.swarm.control.sites.states import Good, SiteGood, SiteNews, SiteNode, parts
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.holdings import is_node_name
from orchestrator.swarm.units import Bits, Unit

_PART = 40 << 10
"""Bytes of sets in one message. A single set that is longer is not told."""
_SEEN = 500
"""Nodes of a vector in one message."""
_MOST_BRINGS = 64
_MOST_COUNT = MAX_FILE // PIECE
_FILES = "files:"
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")


def hello(site: str) -> pb.StateDelta:
    """The first message of a site."""
    return pb.StateDelta(site=pb.SiteHello(site=site))


def beat() -> pb.StateDelta:
    """A sign of life."""
    return pb.StateDelta(beat=pb.SiteBeat())


def vector(seen: Vector) -> Iterator[pb.StateDelta]:
    """The messages of a vector."""
    nodes = [pb.SeenNode(node=dot.writer, epoch=dot.clock[0], number=dot.clock[1]) for dot in seen.dots()]
    for start in range(0, len(nodes) or 1, _SEEN):
        last = start + _SEEN >= len(nodes)
        yield pb.StateDelta(seen=pb.SeenNodes(nodes=nodes[start : start + _SEEN], last=last))


def said_site(found: pb.StateDelta) -> str:
    """The name of a site, of its first message. Raises ProtocolError."""
    if found.WhichOneof("said") != "site" or not is_node_name(found.site.site):
        raise ProtocolError("the first message of a site says its name")
    return found.site.site


def said_vector(found: pb.SeenNodes) -> Vector:
    """A part of a vector. Raises ProtocolError."""
    return Vector({_name(one.node): (_number(one.epoch), one.number) for one in found.nodes})


def deltas(news: SiteNews) -> Iterator[pb.StateDelta]:
    """The messages of the news of a node."""
    for part in parts(news, _PART):
        node = part.node
        made = pb.NodeDelta(
            node=node.node,
            epoch=node.epoch,
            number=node.number,
            since=part.since,
            address=node.address,
            zone=node.zone,
            shares_restricted=node.shares_restricted,
        )
        for unit in node.brings[:_MOST_BRINGS]:
            made.brings.add(digest=str(unit.digest), unit=unit.index, start=unit.start, end=unit.end)
        for good, said in node.goods.items():
            has = b"" if said.is_whole else bytes(said.has)
            if len(has) <= _PART:
                name = _FILES + good if isinstance(good, str) else str(good)
                made.goods.add(good=name, number=said.number, count=said.has.count, has=has, is_whole=said.is_whole)
        yield pb.StateDelta(node=made)


def said_news(found: pb.NodeDelta) -> SiteNews:
    """The news of a node. Raises ProtocolError."""
    if len(found.brings) > _MOST_BRINGS:
        raise ProtocolError("a site tells that a node fetches more than any node does")
    if max(len(found.address), len(found.zone)) > MOST_TEXT:
        raise ProtocolError("a site tells an address or a zone that is longer than any")
    node = SiteNode(
        _name(found.node),
        _number(found.epoch),
        found.number,
        found.address,
        found.zone,
        found.shares_restricted,
        tuple(map(_unit, found.brings)),
        _goods(found),
    )
    return SiteNews(node, found.since)


def _goods(found: pb.NodeDelta) -> Mapping[Good, SiteGood]:
    goods: dict[Good, SiteGood] = {}
    for one in found.goods:
        if one.count > _MOST_COUNT or one.number > found.number:
            raise ProtocolError("a site names a set that cannot be")
        try:
            has = Bits(one.count) if one.is_whole else Bits.parse(one.count, one.has)
        except ValueError as error:
            raise ProtocolError(f"a site names a set that cannot be read: {error}") from error
        goods[_good(one.good)] = SiteGood(one.number, has, one.is_whole)
    return goods


def _good(text: str) -> Digest | str:
    if not text.startswith(_FILES):
        return digest_of(text)
    fingerprint = text.removeprefix(_FILES)
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ProtocolError("a site names a list without a fingerprint")
    return fingerprint


def _unit(found: pb.BroughtUnit) -> Unit:
    if not found.start <= found.end <= MAX_FILE:
        raise ProtocolError("a site names a part of a file that cannot be")
    return Unit(digest_of(found.digest), found.unit, found.start, found.end)


def _name(text: str) -> str:
    if not is_node_name(text):
        raise ProtocolError("a site names a node without a name")
    return text


def _number(number: int) -> int:
    if number > MAX_SIZE:
        raise ProtocolError("a site names a number that cannot be")
    return number
