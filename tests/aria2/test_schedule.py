"""Ranges and cuts: everything is given out once, in order, and nobody is left with the tail."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.aria2.schedule import carve, length, take_over
from orchestrator.aria2.spans import BLOCK, PIECE, Span
from orchestrator.core.extents import subtract


@given(st.integers(1, 1 << 34), st.lists(st.integers(0, 1 << 30), min_size=1, max_size=50))
def test_all_is_given_out_once_and_in_order(size: int, wanted: list[int]) -> None:
    missing, given_out, turn = [(0, size)], 0, 0
    while missing and turn < 5000:
        start, end = carve(missing, wanted[turn % len(wanted)])
        assert start == given_out
        assert end == size or end % PIECE == 0
        assert end - start <= (256 << 20) + PIECE
        given_out = end
        missing = list(subtract(missing, [(start, end)]))
        turn += 1
    assert given_out == size or turn == 5000


@given(st.integers(1, 1 << 40), st.floats(1, 1e9), st.floats(1, 1e10), st.integers(0, 1000))
def test_a_length_is_a_part_of_what_is_left(left: int, each: float, others: float, number: int) -> None:
    assert 0 <= length(left, each, each + others, number) <= left


def span(start: int, end: int, *, position: int, rate: float) -> Span:
    made = Span("a", Path("x"), start, end, end, 0.0)
    made.position, made.rate = position, rate
    return made


def test_the_slowest_gives_its_tail_away() -> None:
    slow = span(0, 64 * PIECE, position=0, rate=100_000)
    fast = span(64 * PIECE, 128 * PIECE, position=64 * PIECE, rate=20e6)
    found = take_over([fast, slow], 20e6, 0.1)
    assert found is not None
    victim, cut = found
    assert victim is slow
    assert cut % BLOCK == 0
    assert 0 < cut < PIECE, "nearly all of it goes to the fast one"
    kept, taken = cut / 100_000, 0.1 + (64 * PIECE - cut) / 20e6
    assert abs(kept - taken) < 0.5, "both end together"


def test_nobody_is_helped_who_is_done_in_a_moment() -> None:
    assert take_over([span(0, 4 * PIECE, position=3 * PIECE, rate=20e6)], 20e6, 0.1) is None
    assert take_over([], 1e6, 0.1) is None


def test_one_that_has_not_begun_keeps_its_range() -> None:
    assert take_over([span(0, 64 * PIECE, position=0, rate=0.0)], 20e6, 0.1) is None
