"""States of nodes merge in any order and any number of times, and a vector says what somebody lacks of them."""

from __future__ import annotations

from functools import reduce
from operator import or_

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.versions import Order, Vector
from orchestrator.errors import ProtocolError
from orchestrator.swarm.control.sites import states
from orchestrator.swarm.control.sites.states import Good, SiteGood, SiteNews, SiteNode, SiteStates, parts
from orchestrator.swarm.units import Bits

GOODS: tuple[Good, ...] = (Digest(Algorithm.SHA256, "a" * 64), Digest(Algorithm.SHA256, "b" * 64), "files")
NODES = ("n1", "n2")
SAYS = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from((*GOODS, "starts", "is lost"))), max_size=20)
"""Each: what a node says something new of, or that it starts again, or that its site loses it."""


def life(steps: list[tuple[str, Good]]) -> list[SiteNode]:
    """All states that nodes went through, as their site knew them; those of each in order."""
    last = {name: SiteNode(name, 1, 2, f"http://{name}:1") for name in NODES}
    seen = list(last.values())
    for name, what in steps:
        node = last[name]
        number = (node.seq + 1) << 1
        if what == "starts":
            node = SiteNode(name, node.epoch + 1, 2, node.address)
        elif what == "is lost":
            node = node.lost()
        else:
            said = SiteGood(number, Bits(24, number))
            node = SiteNode(name, node.epoch, number, node.address, goods={**node.goods, what: said})
        last[name] = node
        seen.append(node)
    return seen


@st.composite
def three(draw: st.DrawFn) -> list[SiteNode]:
    """Three states of one node."""
    lived = [node for node in life(draw(SAYS)) if node.node == NODES[0]]
    return [draw(st.sampled_from(lived)) for _ in range(3)]


@given(three())
def test_states_merge_in_any_order_and_any_number_of_times(nodes: list[SiteNode]) -> None:
    one, two, other = nodes
    assert one | two == two | one
    assert (one | two) | other == one | (two | other)
    assert one | one == one


@given(SAYS, st.data())
def test_sides_that_were_apart_lack_what_the_vectors_say_and_no_more(
    steps: list[tuple[str, Good]], data: st.DataObject
) -> None:
    lived = life(steps)
    now = {node.node: node for node in lived}
    here = SiteStates()
    for node in lived[: data.draw(st.integers(0, len(lived)))]:
        here.take(SiteNews(node))
    before = here.vector
    told = [found for node in now.values() if (found := SiteNews.after(node, before)) is not None]
    assert {found.node.node for found in told} == before.lacks(Vector({name: node.clock for name, node in now.items()}))
    for found in told:
        known = here.nodes.get(found.node.node)
        if known is not None and known.epoch == found.node.epoch:
            assert not [good for good, said in found.node.goods.items() if known.goods.get(good) == said]
        for part in parts(found, most=data.draw(st.sampled_from((1, 1 << 20)))):
            here.take(part)
    assert here.nodes == now
    assert here.vector.compare(Vector({name: node.clock for name, node in now.items()})) is Order.EQUAL


@given(SAYS, st.randoms(use_true_random=False))
def test_whole_states_may_come_late_and_twice(steps: list[tuple[str, Good]], random: st.DataObject) -> None:
    lived = life(steps)
    mixed = [*lived, *lived]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    here = SiteStates()
    for node in mixed:
        here.take(SiteNews(node))
    for name in NODES:
        assert here.nodes[name] == reduce(or_, (node for node in lived if node.node == name))
        assert here.nodes[name] == [node for node in lived if node.node == name][-1]


@given(SAYS)
def test_what_breaks_off_between_two_parts_is_told_again(steps: list[tuple[str, Good]]) -> None:
    now = {node.node: node for node in life(steps)}
    here = SiteStates()
    for node in now.values():
        first, *_ = parts(SiteNews(node), most=1)
        here.take(first)
    for node in now.values():
        if (found := SiteNews.after(node, here.vector)) is not None:
            here.take(found)
    assert here.nodes == now


def test_news_without_what_came_before_are_refused() -> None:
    node = SiteNode("n1", 1, 8, goods={"files": SiteGood(8, Bits(8, 1))})
    with pytest.raises(ProtocolError, match="before"):
        SiteStates().take(SiteNews(node, since=4))
    here = SiteStates()
    here.take(SiteNews(SiteNode("n1", 1, 2)))
    with pytest.raises(ProtocolError, match="before"):
        here.take(SiteNews(node, since=4))


def test_a_node_that_was_lost_is_forgotten_and_told_whole_when_it_is_back() -> None:
    here = SiteStates()
    here.take(SiteNews(SiteNode("n1", 1, 4, goods={"files": SiteGood(4, Bits(8, 1))}).lost()))
    here.take(SiteNews(SiteNode("n2", 1, 4)))
    here.forget_lost()
    assert here.vector == Vector({"n2": (1, 4)})


def test_no_more_is_remembered_of_a_site_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "MOST_NODES", 2)
    monkeypatch.setattr(states, "MOST_BYTES", 2 << 10)
    here = SiteStates()
    for name in ("n1", "n2"):
        here.take(SiteNews(SiteNode(name, 1, 2)))
    with pytest.raises(ProtocolError, match="more than is remembered"):
        here.take(SiteNews(SiteNode("n3", 1, 2)))
    with pytest.raises(ProtocolError, match="more than is remembered"):
        here.take(SiteNews(SiteNode("n1", 1, 4, goods={"files": SiteGood(4, Bits(16 << 10, 1))})))
    here.take(SiteNews(SiteNode("n1", 1, 4, goods={"files": SiteGood(4, Bits(8, 1))})))
