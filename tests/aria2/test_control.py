"""aria2's control file: what is written for a range leaves out just that; a damaged one says nothing wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.aria2.control import BLOCK, FINE_PIECE, PIECE, arrived, control_file, piece_length, runs_of

BLOCKS = st.integers(1, 200)


@given(BLOCKS, st.data())
def test_the_bitfield_leaves_out_what_is_missing(blocks: int, data: st.DataObject) -> None:
    size = blocks * BLOCK + data.draw(st.integers(0, BLOCK - 1))
    start = data.draw(st.integers(0, blocks - 1)) * BLOCK
    end = data.draw(st.integers(start + 1, size))
    text = control_file(size, start, end)
    length = piece_length(size, end)
    pieces = -(-size // length)
    field = text[34 : 34 + -(-pieces // 8)]
    here = {at for at in range(pieces) if field[at // 8] & 0x80 >> at % 8}
    missing = set(range(start // length, -(-end // length)))
    assert here == set(range(pieces)) - missing
    assert int.from_bytes(field, "big") & ((1 << (len(field) * 8 - pieces)) - 1) == 0


@given(BLOCKS, st.data())
def test_what_was_written_is_read(blocks: int, data: st.DataObject) -> None:
    size = blocks * BLOCK + data.draw(st.integers(0, BLOCK - 1))
    start = data.draw(st.integers(0, blocks - 1)) * BLOCK
    unit = data.draw(st.sampled_from((PIECE, FINE_PIECE)))
    end = min(size, data.draw(st.integers(start // unit + 1, -(-size // unit))) * unit)
    before = [(0, start)] if start else []
    after = [(end, size)] if end < size else []
    text = control_file(size, start, end)
    assert list(arrived(text, size, 0, size)) == before + after
    assert list(arrived(text, size, start, end)) == []
    assert list(arrived(text, size + PIECE, 0, size)) == [], "it is of another file"
    field = text[34 : 34 + int.from_bytes(text[30:34], "big")]
    assert list(runs_of(field, size, start, end)) == [], "nothing of it has come, whatever its pieces are"


@given(st.binary(max_size=80), st.integers(0, 60), st.integers(1, 1 << 40))
def test_a_damaged_control_file_says_nothing_wrong(junk: bytes, cut: int, size: int) -> None:
    text = control_file(5 * PIECE, BLOCK, 3 * PIECE)
    for damaged in (junk, text[:cut], text + junk[:1], text[:10] + junk):
        if damaged != text:
            assert all(0 <= at < to <= size for at, to in arrived(damaged, size, 0, min(size, 5 * PIECE)))
