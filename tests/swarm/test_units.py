"""How blobs are cut into units and pieces, and sets of pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.extents import union
from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.units import LEAST_UNIT, MOST_UNIT, Bits, piece_count, pieces_within, unit_bytes

DIGEST = Digest.parse("sha256:" + "ab" * 32)
SIZES = st.integers(min_value=1, max_value=40 << 30)


@given(SIZES)
def test_units_are_whole_pieces_and_not_too_many(size: int) -> None:
    each = unit_bytes(size)
    assert each % PIECE == 0
    assert LEAST_UNIT <= each <= MOST_UNIT
    assert size > 32 << 30 or -(-size // each) <= 512


@given(st.integers(min_value=0, max_value=300), st.data())
def test_sets_of_pieces_are_sets(count: int, data: st.DataObject) -> None:
    numbers = st.sets(st.integers(min_value=0, max_value=count - 1)) if count else st.just(set[int]())
    left, right = data.draw(numbers), data.draw(numbers)
    one, other = Bits.of(count, left), Bits.of(count, right)
    assert list(one) == sorted(left)
    assert len(one) == len(left)
    assert set(one | other) == left | right
    assert set(one & other) == left & right
    assert set(one - other) == left - right
    assert all((number in one) == (number in left) for number in range(count))
    assert Bits.parse(count, bytes(one)) == one
    assert Bits.full(count).is_full
    assert one.is_full == (len(left) == count)


@pytest.mark.parametrize("data", [b"", b"\x00\x00", b"\x80"])
def test_what_is_no_set_of_so_many_bits_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no set of 7 bits"):
        Bits.parse(7, data)
    with pytest.raises(ValueError, match="not below"):
        Bits.of(7, [7])


@given(st.integers(min_value=1, max_value=40 * PIECE), st.data())
def test_pieces_within_ranges_are_those_that_are_whole_there(size: int, data: st.DataObject) -> None:
    edges = data.draw(st.lists(st.integers(min_value=0, max_value=size), max_size=6).map(sorted))
    ranges = union(pair for pair in zip(edges[::2], edges[1::2], strict=False) if pair[0] < pair[1])
    found = pieces_within(size, ranges)
    for number in range(piece_count(size)):
        start, end = number * PIECE, min(size, (number + 1) * PIECE)
        assert (number in found) == any(first <= start and end <= last for first, last in ranges)
    assert union((*found.ranges(size), *ranges)) == ranges
