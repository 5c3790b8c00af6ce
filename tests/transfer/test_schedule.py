"""Ranges and cuts: everything is given out once, in order, and nobody is left with the tail."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.aria2.control import PIECE
from orchestrator.core.extents import subtract
from orchestrator.transfer.schedule import carve, is_better_done_by, length, slowest, tail
from orchestrator.transfer.spans import Span


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


@given(st.integers(1, 1 << 40), st.floats(1, 1e9), st.floats(1, 1e10), st.integers(0, 1000), st.floats(0, 2))
def test_a_length_is_a_part_of_what_is_left(left: int, each: float, others: float, number: int, setup: float) -> None:
    assert 0 <= length(left, each, each + others, number=number, setup=setup) <= left


def span(start: int, end: int, *, position: int, rate: float) -> Span:
    made = Span("a", Path("x"), start, end, end, 0.0)
    made.position, made.rate = position, rate
    return made


def test_the_slowest_gives_its_tail_away() -> None:
    slow = span(0, 64 * PIECE, position=0, rate=4e6)
    fast = span(64 * PIECE, 128 * PIECE, position=64 * PIECE, rate=20e6)
    assert slowest([fast, slow], 0.1) is slow
    found = tail(slow, 20e6, 0.1)
    assert found is not None
    cut, end = found
    assert end == 64 * PIECE
    assert cut % PIECE == 0
    assert abs(cut / 4e6 - (0.1 + (end - cut) / 20e6)) < PIECE / 4e6, "both end together"


def test_nobody_is_helped_who_is_done_in_a_moment() -> None:
    assert slowest([span(0, 4 * PIECE, position=3 * PIECE, rate=20e6)], 0.1) is None
    assert slowest([], 0.1) is None
    assert tail(span(0, PIECE, position=0, rate=100_000), 20e6, 0.1) is None, "a piece has one sender"


def test_one_that_has_not_begun_keeps_its_range() -> None:
    assert slowest([span(0, 64 * PIECE, position=0, rate=0.0)], 0.1) is None


@pytest.mark.parametrize(("rate", "better"), [(20e3, True), (5e6, True), (15e6, False), (40e6, False)])
def test_a_much_faster_source_gets_what_is_left(rate: float, better: bool) -> None:
    assert is_better_done_by(span(0, 20 * PIECE, position=0, rate=rate), 20e6, 0.1) is better
