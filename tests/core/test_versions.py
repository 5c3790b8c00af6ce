"""Versions: merges may come in any order and any number of times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.versions import Dot, Order, Vector

WRITERS = ("a", "b", "c")
CLOCKS = st.tuples(st.integers(1, 3), st.integers(1, 4))
DOTS = st.builds(Dot, st.sampled_from(WRITERS), CLOCKS)
VECTORS = st.lists(DOTS, max_size=5).map(Vector.of)
TURNED = {Order.BEFORE: Order.AFTER, Order.AFTER: Order.BEFORE}
AT_MOST = {Order.BEFORE, Order.EQUAL}


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
