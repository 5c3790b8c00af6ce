"""Ranges and cuts: everything is given out once, in order, and nobody is left with the tail."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.aria2.control import BLOCK, FINE_PIECE, PIECE
from orchestrator.core.extents import subtract
from orchestrator.transfer.schedule import carve, is_better_done_by, least, length, slowest, tail
from orchestrator.transfer.spans import Span

LEAST = least(0.0, 0.0)


@given(st.integers(1, 1 << 34), st.lists(st.integers(0, 1 << 30), min_size=1, max_size=50))
def test_all_is_given_out_once_and_in_order(size: int, wanted: list[int]) -> None:
    missing, given_out, turn = [(0, size)], 0, 0
    while missing and turn < 5000:
        start, end = carve(missing, wanted[turn % len(wanted)], least=LEAST)
        assert start == given_out
        assert end == size or end % BLOCK == 0
        assert end - start <= (256 << 20) + PIECE
        given_out = end
        missing = list(subtract(missing, [(start, end)]))
        turn += 1
    assert given_out == size or turn == 5000


@pytest.mark.parametrize(
    ("each", "turn", "length"),
    [(10e6, 0.1, PIECE), (1e6, 0.5, PIECE), (2e5, 0.25, 3 * FINE_PIECE), (1e5, 0.25, 5 * BLOCK), (1e3, 0.25, LEAST)],
)
def test_only_where_a_piece_takes_long_it_is_cut_finer(each: float, turn: float, length: int) -> None:
    assert carve([(0, 64 * PIECE)], 1000, least=least(each, turn)) == (0, length)


@pytest.mark.parametrize(("wanted", "step"), [(PIECE, FINE_PIECE), (FINE_PIECE, BLOCK), (64 * PIECE, PIECE)])
def test_the_shorter_a_range_is_the_finer_it_is_cut(wanted: int, step: int) -> None:
    (_, end) = carve([(BLOCK, 640 * PIECE)], wanted, least=LEAST)
    assert end % step == 0
    assert BLOCK + wanted <= end < BLOCK + wanted + step


@given(
    st.integers(1, 1 << 40),
    st.floats(1, 1e9),
    st.floats(1, 1e10),
    st.integers(0, 1000),
    st.floats(0, 2),
    st.integers(1, 64),
)
def test_a_length_is_a_part_of_what_is_left(
    left: int, each: float, others: float, number: int, setup: float, most: int
) -> None:
    found = length(left, each, each + others, number=number, answer=setup, turn=setup, most=most)
    assert 0 <= found <= left


def test_a_connection_that_is_fast_in_the_beginning_gets_no_more_than_half_of_a_small_share() -> None:
    """In slow start sixteen are as fast as sixty-four will be: what they are given then must not take them for ever."""
    assert length(640 << 20, 1e6, 16e6, number=1, answer=0.5, turn=0.5, most=64) == (640 << 20) // 128


def test_where_an_answer_takes_long_ranges_are_longer() -> None:
    near, far = (
        length(256 << 20, 1.5e6, 96e6, number=1, answer=answer, turn=0.05 + answer, most=64) for answer in (0.002, 0.08)
    )
    assert far > 2 * near


def span(start: int, end: int, *, position: int, rate: float) -> Span:
    made = Span("a", Path("x"), start, end, end, 0.0)
    made.position, made.rate = position, rate
    return made


def test_the_slowest_gives_its_tail_away() -> None:
    slow = span(0, 64 * PIECE, position=0, rate=4e6)
    fast = span(64 * PIECE, 128 * PIECE, position=64 * PIECE, rate=20e6)
    assert slowest([fast, slow], 0.1, 0.0) is slow
    found = tail(slow, 20e6, 0.1)
    assert found is not None
    cut, end = found
    assert end == 64 * PIECE
    assert cut % PIECE == 0
    assert abs(cut / 4e6 - (0.1 + (end - cut) / 20e6)) < PIECE / 4e6, "both end together"


def test_nobody_is_helped_who_is_done_in_a_moment() -> None:
    assert slowest([span(0, 4 * PIECE, position=3 * PIECE, rate=20e6)], 0.1, 0.0) is None
    assert slowest([], 0.1, 0.0) is None
    assert tail(span(0, FINE_PIECE, position=0, rate=20e6), 20e6, 0.1) is None


def test_of_one_that_hardly_brings_anything_all_that_is_left_is_taken_over() -> None:
    """However little: a connection that waits for a lost packet would hold up the end of the file."""
    slow = span(0, FINE_PIECE, position=2 * BLOCK, rate=1_000)
    assert slowest([slow], 0.1, 0.0) is slow
    assert tail(slow, 1e6, 0.1) == (2 * BLOCK, FINE_PIECE)


@pytest.mark.parametrize(("age", "is_overdue"), [(0.9, False), (1.1, True)])
def test_one_that_has_not_begun_keeps_its_range_until_it_is_overdue(age: float, is_overdue: bool) -> None:
    mute = span(0, 64 * PIECE, position=0, rate=0.0)
    assert (slowest([mute], 0.1, age) is mute) is is_overdue
    assert tail(mute, 1e6, 0.1) == (0, 64 * PIECE)


@pytest.mark.parametrize(("rate", "better"), [(20e3, True), (5e6, True), (15e6, False), (40e6, False)])
def test_a_much_faster_source_gets_what_is_left(rate: float, better: bool) -> None:
    assert is_better_done_by(span(0, 20 * PIECE, position=0, rate=rate), 20e6, 0.1) is better
