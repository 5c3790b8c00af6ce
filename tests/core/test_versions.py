"""Versions: merges may come in any order and any number of times, and no change is lost without a word."""

from __future__ import annotations

from functools import reduce
from operator import or_

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.versions import Dot, Edits, Order, Vector

WRITERS = ("a", "b", "c")
CLOCKS = st.tuples(st.integers(1, 3), st.integers(1, 4))
DOTS = st.builds(Dot, st.sampled_from(WRITERS), CLOCKS)
VECTORS = st.lists(DOTS, max_size=5).map(Vector.of)
TURNED = {Order.BEFORE: Order.AFTER, Order.AFTER: Order.BEFORE}
AT_MOST = {Order.BEFORE, Order.EQUAL}
STEPS = st.lists(st.tuples(st.sampled_from(WRITERS), st.sampled_from((*WRITERS, None))), max_size=14)
"""Each: a site, and the site whose changes it gets; None: it makes a change of its own."""


def lived(steps: list[tuple[str, str | None]]) -> dict[str, Edits]:
    """What each site has, after a life in which sites made changes and heard of each other's."""
    sites: dict[str, Edits] = {writer: Edits() for writer in WRITERS}
    for number, (site, heard) in enumerate(steps, 1):
        if heard is None:
            heads = [head.dot for head in sites[site].heads]
            sites[site] = sites[site].put(Dot(site, (1, number)), f"v{number}", heads)
        else:
            sites[site] |= sites[heard].since(sites[site].vector)
    return sites


@given(VECTORS, VECTORS, VECTORS)
def test_vectors_merge_in_any_order_and_any_number_of_times(one: Vector, two: Vector, three: Vector) -> None:
    assert one | two == two | one
    assert (one | two) | three == one | (two | three)
    assert one | one == one


@given(VECTORS, VECTORS, VECTORS)
def test_vectors_are_in_a_partial_order(one: Vector, two: Vector, three: Vector) -> None:
    assert one.compare(one) is Order.EQUAL
    assert two.compare(one) is TURNED.get(one.compare(two), one.compare(two))
    assert (one.compare(two) is Order.EQUAL) == (one == two)
    if one.compare(two) in AT_MOST and two.compare(three) in AT_MOST:
        assert one.compare(three) in AT_MOST
    assert one.compare(one | two) in AT_MOST


@given(VECTORS, VECTORS)
def test_a_side_asks_for_what_it_lacks_and_for_no_more(one: Vector, two: Vector) -> None:
    asked = one.lacks(two)
    sent = Vector({writer: two.clocks[writer] for writer in asked})
    assert one | sent == one | two
    assert all(one.clocks.get(writer, (0, 0)) < two.clocks[writer] for writer in asked)


@given(st.lists(DOTS))
def test_a_late_report_is_known_as_one(dots: list[Dot]) -> None:
    seen, latest = Vector(), dict[str, tuple[int, int]]()
    for dot in dots:
        assert (dot in seen) == (dot.clock <= latest.get(dot.writer, (0, 0)))
        seen |= Vector.of([dot])
        latest[dot.writer] = max(dot.clock, latest.get(dot.writer, (0, 0)))


def test_two_that_have_seen_different_things_are_concurrent() -> None:
    one, two = Vector({"a": (1, 2), "b": (1, 1)}), Vector({"a": (1, 1), "b": (2, 1)})
    assert one.compare(two) is Order.CONCURRENT
    assert one | two == Vector({"a": (1, 2), "b": (2, 1)})


@given(STEPS)
def test_changes_merge_in_any_order_and_any_number_of_times(steps: list[tuple[str, str | None]]) -> None:
    one, two, three = lived(steps).values()
    assert one | two == two | one
    assert (one | two) | three == one | (two | three)
    assert one | one == one
    assert one | two.since(one.vector) == one | two


@given(STEPS)
def test_sites_that_have_heard_of_all_changes_agree(steps: list[tuple[str, str | None]]) -> None:
    sites = lived(steps)
    all_of_them = reduce(or_, sites.values())
    first, *others = (site | all_of_them for site in sites.values())
    assert all((each.heads, each.agreed) == (first.heads, first.agreed) for each in others)


@given(STEPS)
def test_no_change_is_lost_without_a_word(steps: list[tuple[str, str | None]]) -> None:
    all_of_them = reduce(or_, lived(steps).values())
    heads = all_of_them.heads
    for change in all_of_them.made:
        assert change in heads or any(change.dot in head.knew for head in heads)
    assert not any(one.dot in two.knew for one in heads for two in heads)


@given(STEPS)
def test_what_is_served_is_what_all_heads_had_agreed_on(steps: list[tuple[str, str | None]]) -> None:
    all_of_them = reduce(or_, lived(steps).values())
    heads, agreed = all_of_them.heads, all_of_them.agreed
    if len(heads) == 1:
        assert agreed == heads[0]
    else:
        common = (each for each in all_of_them.made if all(each.dot in head.knew for head in heads))
        assert agreed == Edits(frozenset(common)).agreed


def test_changes_at_the_same_time_are_found_and_the_agreed_value_stands() -> None:
    start = Edits().put(Dot("ci", (1, 1)), "1.0", ())
    (first,) = start.heads
    here = start.put(Dot("ci", (1, 2)), "1.1", [first.dot])
    there = start.put(Dot("ann", (1, 1)), "0.9", [first.dot])
    assert (here.agreed, there.agreed) == (here.heads[0], there.heads[0])
    both = here | there
    assert [head.value for head in both.heads] == ["0.9", "1.1"]
    assert both.agreed == first
    settled = both.put(Dot("ann", (1, 2)), "1.1", [head.dot for head in both.heads])
    assert [head.value for head in settled.heads] == ["1.1"]
    assert settled.agreed == settled.heads[0]


def test_two_settle_one_dispute_at_the_same_time() -> None:
    start = Edits().put(Dot("a", (1, 1)), "old", ())
    (first,) = start.heads
    both = start.put(Dot("a", (1, 2)), "x", [first.dot]) | start.put(Dot("b", (1, 1)), "y", [first.dot])
    named = [head.dot for head in both.heads]
    again = both.put(Dot("a", (1, 3)), "x", named) | both.put(Dot("b", (1, 2)), "y", named)
    assert len(again.heads) == 2
    assert again.agreed == first


def test_first_changes_at_the_same_time_agree_on_nothing() -> None:
    both = Edits().put(Dot("a", (1, 1)), "x", ()) | Edits().put(Dot("b", (1, 1)), "y", ())
    assert (len(both.heads), both.agreed) == (2, None)


def test_who_did_not_see_a_change_cannot_replace_it() -> None:
    start = Edits().put(Dot("a", (1, 1)), "x", ())
    (first,) = start.heads
    moved = start.put(Dot("b", (1, 1)), "y", [first.dot])
    with pytest.raises(ValueError, match="changed meanwhile: b"):
        moved.put(Dot("a", (1, 2)), "z", [first.dot])
    with pytest.raises(ValueError, match="later"):
        moved.put(Dot("a", (1, 1)), "z", [head.dot for head in moved.heads])
