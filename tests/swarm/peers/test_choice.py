"""Whom to ask, and which piece to ask for next."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.extents import union
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import Peer
from orchestrator.swarm.peers.choice import chosen, only_from, rarest, sole
from orchestrator.swarm.units import Bits

COUNT = 12
SIZE = COUNT * PIECE - 5


def peer(number: int, zone: str = "") -> Peer:
    return Peer(f"n{number}", f"http://n{number}:1", zone)


def test_those_of_the_own_zone_are_asked_first_and_failing_ones_last() -> None:
    peers = [peer(number, "far" if number % 2 else "near") for number in range(20)]
    found = chosen("n0", "near", peers, 8)
    assert len(found) == 8
    assert {one.zone for one in found} == {"near"}
    assert all(one.node != "n0" for one in found)
    failing = {one.address for one in found}
    assert {one.zone for one in chosen("n0", "near", peers, 8, failing)} == {"near", "far"}
    assert chosen("n0", "near", peers[1:3], 8, {peers[2].address})[-1] == peers[2]


def test_different_nodes_ask_different_peers() -> None:
    peers = [peer(number) for number in range(40)]
    asked = Counter(one.node for me in range(40) for one in chosen(f"n{me}", "", peers, 8))
    assert len(asked) > 30
    assert max(asked.values()) < 25


def test_one_address_is_asked_once() -> None:
    assert len(chosen("me", "", [Peer("", "http://a:1"), Peer("a", "http://a:1")], 8)) == 1


@pytest.mark.parametrize("roll", [0.0, 0.3, 0.5, 0.999])
def test_the_rarest_piece_that_the_peer_has_comes_first(roll: float) -> None:
    mine = Bits.of(COUNT, [1, 2, 5, 7])
    offers = [mine, Bits.of(COUNT, [1, 2, 3, 7]), Bits.of(COUNT, [1, 9])]
    assert rarest(SIZE, ((0, SIZE),), mine, offers, roll) == 5 * PIECE
    assert rarest(SIZE, ((0, 3 * PIECE),), mine, offers, roll) == 2 * PIECE
    assert rarest(SIZE, ((5 * PIECE + 7, SIZE),), mine, offers, roll) == 5 * PIECE + 7
    assert rarest(SIZE, ((9 * PIECE, SIZE),), mine, offers, roll) is None


def test_ties_are_broken_by_chance() -> None:
    full = Bits.full(COUNT)
    found = {rarest(SIZE, ((0, SIZE),), full, [full, full], number / 50) for number in range(50)}
    assert len(found) == COUNT


@given(
    st.lists(st.integers(0, (1 << COUNT) - 1), min_size=1, max_size=9),
    st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=5),
    st.floats(0, 1, exclude_max=True),
)
def test_what_is_picked_is_free_and_no_piece_there_is_rarer(
    masks: list[int], pairs: list[tuple[int, int]], roll: float
) -> None:
    free = union((min(pair), max(pair)) for pair in pairs)
    offers = [Bits(COUNT, mask) for mask in masks]
    found = rarest(SIZE, free, offers[0], offers, roll)
    there = [
        piece
        for piece in offers[0]
        if any(start < min(SIZE, (piece + 1) * PIECE) and end > piece * PIECE for start, end in free)
    ]
    if found is None:
        assert not there
        return
    counts = {piece: sum(piece in offer for offer in offers) for piece in there}
    assert counts[found // PIECE] == min(counts.values())
    assert any(start <= found < end for start, end in free)


def test_a_piece_that_is_to_come_from_one_comes_from_one_of_those_who_have_it() -> None:
    alone = Bits.of(COUNT, [2, 3, 4])
    offers = {"a": Bits.of(COUNT, [2, 3]), "b": Bits.of(COUNT, [2, 4]), "c": Bits.of(COUNT, [2])}
    allowed = {node: alone & offers[node] - only_from(node, "digest", alone, offers) for node in offers}
    assert sorted(piece for bits in allowed.values() for piece in bits) == [2, 3, 4]
    assert 2 in allowed[sole("digest", 2, ["a", "b", "c"])]
