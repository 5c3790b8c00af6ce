"""What sites tell each other goes over the wire and back; what has no meaning is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import MAX_FILE, Algorithm, Digest
from orchestrator.core.versions import Vector
from orchestrator.errors import ProtocolError
from orchestrator.rpc.credentials import MOST_MESSAGE
from orchestrator.swarm.control.sites import codec
from orchestrator.swarm.control.sites.states import SiteGood, SiteNews, SiteNode, SiteStates
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.units import Bits, Unit, piece_count

DIGESTS = st.integers(0, 2**32).map(lambda number: Digest(Algorithm.SHA256, f"{number:064x}"))
SETS = st.integers(0, 70_000).flatmap(
    lambda count: st.builds(Bits, st.just(count), st.integers(0, 2**64).map(lambda mask: mask % (1 << count)))
)
LISTS = st.integers(0, 2**64).map(lambda number: f"{number:032x}")


@st.composite
def news(draw: st.DrawFn) -> SiteNews:
    """Any news of a node."""
    number = draw(st.integers(1, 2**63))
    has = [
        SiteGood(number, Bits(bits.count) if whole else bits, whole)
        for bits, whole in draw(st.lists(st.tuples(SETS, st.booleans()), max_size=30))
    ]
    names = draw(st.lists(DIGESTS | LISTS, min_size=len(has), max_size=len(has), unique=True))
    brings = (Unit(draw(DIGESTS), 3, 4, 9),) * draw(st.integers(0, 3))
    goods = dict(zip(names, has, strict=True))
    return SiteNews(SiteNode("n1", 7, number, "http://n1:1", "z", draw(st.booleans()), brings, goods))


@given(news())
def test_news_are_read_as_they_were_told(told: SiteNews) -> None:
    there = SiteStates()
    for delta in codec.deltas(told):
        assert delta.ByteSize() <= MOST_MESSAGE
        there.take(codec.said_news(pb.StateDelta.FromString(delta.SerializeToString()).node))
    assert there.nodes["n1"] == told.node


def test_a_vector_goes_in_parts_and_back() -> None:
    seen = Vector({f"n{number:063}": (2**62, 2**63 + number) for number in range(1200)})
    parts = list(codec.vector(seen))
    assert [part.seen.last for part in parts] == [False, False, True]
    assert all(part.ByteSize() <= MOST_MESSAGE for part in parts)
    read = Vector()
    for part in parts:
        read |= codec.said_vector(part.seen)
    assert read == seen
    assert [part.seen.last for part in codec.vector(Vector())] == [True]


def test_a_set_that_no_message_holds_is_left_out() -> None:
    large = SiteNode("n1", 1, 2, goods={"0" * 32: SiteGood(2, Bits(1 << 20, 5)), "1" * 32: SiteGood(2, Bits(8, 5))})
    (delta,) = [delta for delta in codec.deltas(SiteNews(large)) if delta.node.goods]
    assert [one.good for one in delta.node.goods] == ["files:" + "1" * 32]


def _changed(change: Callable[[pb.NodeDelta], object]) -> pb.NodeDelta:
    digest = Digest(Algorithm.SHA256, "a" * 64)
    (delta,) = codec.deltas(
        SiteNews(SiteNode("n1", 1, 4, brings=(Unit(digest, 0, 0, 8),), goods={digest: SiteGood(2, Bits(8, 5))}))
    )
    change(delta.node)
    return delta.node


@pytest.mark.parametrize(
    "change",
    [
        lambda node: setattr(node, "node", "../x"),
        lambda node: setattr(node, "epoch", 2**63),
        lambda node: setattr(node.goods[0], "good", "files:x"),
        lambda node: setattr(node.goods[0], "good", "no digest"),
        lambda node: setattr(node.goods[0], "number", 5),
        lambda node: setattr(node.goods[0], "count", 2**31),
        lambda node: setattr(node.goods[0], "has", b"\1\2"),
        lambda node: setattr(node, "zone", "z" * 513),
        lambda node: setattr(node, "address", "a" * 513),
        lambda node: setattr(node.brings[0], "end", 2**63),
        lambda node: setattr(node.brings[0], "start", 9),
        lambda node: node.brings.extend([node.brings[0]] * 64),
    ],
)
def test_what_cannot_be_is_refused(change: Callable[[pb.NodeDelta], object]) -> None:
    with pytest.raises(ProtocolError):
        codec.said_news(_changed(change))


def test_what_is_whole_takes_no_room_however_long_it_is_said_to_be() -> None:
    def claim(node: pb.NodeDelta) -> None:
        node.goods[0].count, node.goods[0].has, node.goods[0].is_whole = piece_count(MAX_FILE), b"", True

    (good,) = codec.said_news(_changed(claim)).node.goods.values()
    assert good == SiteGood(2, Bits(piece_count(MAX_FILE)), is_whole=True)


@pytest.mark.parametrize("first", [codec.beat(), codec.hello("../rome"), codec.hello("")])
def test_the_first_message_is_the_name_of_a_site(first: pb.StateDelta) -> None:
    with pytest.raises(ProtocolError):
        codec.said_site(first)
