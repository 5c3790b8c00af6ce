"""Extents: whatever is put in, they stay in order, never overlap, and tell who sent each byte."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.extents import (
    Extent,
    Extents,
    Ranges,
    clip,
    covers,
    intersect,
    inward,
    outward,
    subtract,
    union,
)

SIZE = 200
BLOCK, PIECE = 4, 16
RANGES = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(sorted).filter(lambda pair: pair[0] < pair[1])
PUTS = st.lists(
    st.builds(lambda pair, name: Extent(pair[0], pair[1], name), RANGES, st.sampled_from("abc")), max_size=12
)


def painted(puts: list[Extent]) -> list[str | None]:
    """The model: one name a byte, and the first who sent a byte keeps it."""
    bytes_: list[str | None] = [None] * SIZE
    for item in puts:
        for at in range(item.start, item.end):
            bytes_[at] = bytes_[at] or item.source
    return bytes_


def made(puts: list[Extent]) -> Extents:
    extents = Extents()
    for item in puts:
        extents = extents.put([item])
    return extents


@given(PUTS)
def test_each_byte_is_its_first_senders(puts: list[Extent]) -> None:
    bytes_ = painted(puts)
    extents = made(puts)
    assert extents.total == sum(name is not None for name in bytes_)
    assert extents.by_source == {name: bytes_.count(name) for name in set(bytes_) - {None}}
    assert extents.prefix == next((at for at, name in enumerate(bytes_) if name is None), SIZE)
    for start, end in extents.missing(SIZE):
        assert set(bytes_[start:end]) == {None}
    assert sum(end - start for start, end in extents.missing(SIZE)) == bytes_.count(None)
    for item in extents.items:
        assert set(bytes_[item.start : item.end]) == {item.source}
        assert [one for one in extents.items if one.start <= item.start < one.end] == [item]
    ends = [(item.end, item.source) for item in extents.items]
    starts = [(item.start, item.source) for item in extents.items]
    assert not set(ends) & set(starts), "neighbours of one source are one"
    assert Extents.of(extents.items) == extents


@given(PUTS, st.sets(st.sampled_from("abc")))
def test_extents_of_some_sources_are_theirs_alone(puts: list[Extent], names: set[str]) -> None:
    kept = made(puts).of_sources(names)
    assert set(kept.by_source) == {name for name in painted(puts) if name} & names


@given(PUTS)
def test_aligned_can_be_continued_and_loses_little(puts: list[Extent]) -> None:
    before, aligned = painted(puts), made(puts).aligned(SIZE, block=BLOCK, piece=PIECE)
    for item in aligned.items:
        assert set(before[item.start : item.end]) == {item.source}
    gaps = aligned.missing(SIZE)
    assert all(start % BLOCK == 0 for start, _ in gaps)
    assert all(end % PIECE == 0 or end == SIZE for _, end in gaps)
    whole = [at for at in range(0, SIZE - PIECE, PIECE) if None not in before[at : at + PIECE]]
    for at in whole:
        assert not list(clip(gaps, at, at + PIECE)), "a whole piece is kept"


@given(st.lists(RANGES), st.lists(RANGES))
def test_subtract_leaves_what_was_not_taken(ranges: list[list[int]], taken: list[list[int]]) -> None:
    base = made([Extent(start, end, "a") for start, end in ranges])
    mine = [(item.start, item.end) for item in base.items]
    left = set()
    for start, end in subtract(mine, [(start, end) for start, end in taken]):
        left |= set(range(start, end))
    expected = {at for start, end in mine for at in range(start, end)}
    expected -= {at for start, end in taken for at in range(start, end)}
    assert left == expected


def test_clip_cuts_ranges_at_both_ends() -> None:
    assert list(clip([(0, 10), (20, 30), (40, 50)], 5, 25)) == [(5, 10), (20, 25)]


def bytes_of(ranges: Iterable[Sequence[int]]) -> set[int]:
    return {at for start, end in ranges for at in range(start, end)}


SETS = st.lists(RANGES, max_size=8).map(lambda ranges: union((start, end) for start, end in ranges))


@given(st.lists(RANGES, max_size=8))
def test_a_union_has_all_and_nothing_twice(ranges: list[list[int]]) -> None:
    found = union((start, end) for start, end in ranges)
    assert bytes_of(found) == bytes_of(ranges)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(found))


@given(SETS, SETS)
def test_intersect_is_what_both_have(left: Ranges, right: Ranges) -> None:
    found = tuple(intersect(left, right))
    assert bytes_of(found) == bytes_of(left) & bytes_of(right)
    assert covers(left, found)
    assert covers(left, right) == (bytes_of(right) <= bytes_of(left))


@given(SETS)
def test_outward_and_inward_end_at_pieces(ranges: Ranges) -> None:
    out, inner = outward(ranges, SIZE, PIECE), inward(ranges, SIZE, PIECE)
    pieces = [set(range(at, min(at + PIECE, SIZE))) for at in range(0, SIZE, PIECE)]
    mine = bytes_of(ranges)
    assert bytes_of(out) == {at for piece in pieces if piece & mine for at in piece}
    assert bytes_of(inner) == {at for piece in pieces if piece <= mine for at in piece}


@given(PUTS, SETS)
def test_minus_forgets_these_bytes_and_no_others(puts: list[Extent], ranges: Ranges) -> None:
    before, after = made(puts), made(puts).minus(ranges)
    gone = bytes_of(ranges)
    assert bytes_of((item.start, item.end) for item in after.items) == {
        at for at, name in enumerate(painted(puts)) if name and at not in gone
    }
    assert after.put(before.items) == before
