"""The journal against a model that counts pieces one by one; what is damaged is never believed."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.aria2 import journal
from orchestrator.aria2.journal import Journal
from orchestrator.core.files import Algorithm, Digest

DIGEST = Digest(Algorithm.SHA256, "ab" * 32)


@st.composite
def journals(draw: st.DrawFn) -> tuple[Journal, list[bool]]:
    """A journal, and for each piece whether it is there."""
    piece = draw(st.integers(1, 5000))
    size = draw(st.integers(1, 60 * piece))
    count = (size + piece - 1) // piece
    have = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    if draw(st.booleans()):
        have[: draw(st.integers(0, count))] = [True] * len(have[: draw(st.integers(0, count))])
        have = (have + [False] * count)[:count]
    field = bytearray((count + 7) // 8)
    for index, there in enumerate(have):
        if there:
            field[index // 8] |= 0x80 >> index % 8
    return Journal(DIGEST, size, piece, bytes(field)), have


def lengths(entry: Journal) -> list[int]:
    left, found = entry.size, []
    while left > 0:
        found.append(min(left, entry.piece_length))
        left -= found[-1]
    return found


@given(journals())
def test_done_and_prefix_count_pieces(drawn: tuple[Journal, list[bool]]) -> None:
    entry, have = drawn
    pieces = lengths(entry)
    assert entry.is_valid
    assert entry.pieces == len(pieces)
    assert entry.done == sum(length for length, there in zip(pieces, have, strict=True) if there)
    gapless = 0
    for length, there in zip(pieces, have, strict=True):
        if not there:
            break
        gapless += length
    assert entry.prefix == gapless == journal.prefix(entry.bitfield, entry.piece_length, entry.size)


@given(journals())
def test_the_control_file_reads_back(drawn: tuple[Journal, list[bool]]) -> None:
    entry, _ = drawn
    data = entry.control_file()
    version, extension, info_hash = struct.unpack(">HII", data[:10])
    piece, total, uploaded, count = struct.unpack(">IQQI", data[10:34])
    assert (version, extension, info_hash, piece, total, uploaded) == (1, 0, 0, entry.piece_length, entry.size, 0)
    assert data[34 : 34 + count] == entry.bitfield
    assert data[34 + count :] == bytes(4)


@given(journals(), st.data())
def test_a_bitfield_of_another_shape_is_invalid(drawn: tuple[Journal, list[bool]], data: st.DataObject) -> None:
    entry, _ = drawn
    other = data.draw(st.binary(max_size=len(entry.bitfield) + 3).filter(lambda b: len(b) != len(entry.bitfield)))
    assert not Journal(DIGEST, entry.size, entry.piece_length, other).is_valid
    for index in range(entry.pieces, len(entry.bitfield) * 8):
        spoiled = bytearray(entry.bitfield)
        spoiled[index // 8] |= 0x80 >> index % 8
        assert not Journal(DIGEST, entry.size, entry.piece_length, bytes(spoiled)).is_valid


@pytest.mark.parametrize(("size", "piece"), [(0, 1), (1, 0), (-1, 1), (1, -1), (1, 1 << 32), (1 << 64, 1 << 31)])
def test_lengths_that_aria2_cannot_hold_are_invalid(size: int, piece: int) -> None:
    pieces = -(-size // piece) if piece else 0
    assert not Journal(DIGEST, size, piece, bytes(-(-max(pieces, 1) // 8))[: 1 << 20]).is_valid


def test_save_and_load(tmp_path: Path) -> None:
    part = tmp_path / DIGEST.hex
    entry = Journal(DIGEST, 10_000, 1000, b"\xff\x80")
    journal.save(part, entry)
    assert journal.load(part, DIGEST, 10_000) == entry
    assert journal.load(part, DIGEST, 10_001) is None
    assert journal.load(part, Digest(Algorithm.SHA256, "cd" * 32), 10_000) is None
    assert [path.name for path in tmp_path.iterdir()] == [part.name + ".journal"]


def stored(**changes: object) -> bytes:
    entry = {"format": "glm-aria-journal/1", "digest": str(DIGEST), "size": 8, "piece_length": 1, "bitfield": "ff"}
    return json.dumps(entry | changes).encode()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(
    st.binary()
    | st.builds(lambda value: json.dumps(value).encode(), _JSON)
    | st.builds(lambda key, value: stored(**{key: value}), st.sampled_from(["format", "digest", "size"]), _JSON)
    | st.builds(lambda value: stored(piece_length=value), _JSON.filter(lambda v: v not in (1, True, "1")))
    | st.builds(lambda value: stored(bitfield=value), st.text() | st.binary(max_size=4).map(bytes.hex))
)
def test_garbage_is_never_a_journal_of_something_else(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    part = tmp_path_factory.getbasetemp() / "garbage"
    journal.journal_path(part).write_bytes(data)
    found = journal.load(part, DIGEST, 8)
    if found is not None:
        # It said all that a journal says: the format, our digest and size, and a bitfield that fits.
        entry = json.loads(data)
        assert (entry["format"], entry["digest"], entry["size"]) == ("glm-aria-journal/1", str(DIGEST), 8)
        assert found.is_valid
        assert found.control_file()


@pytest.mark.parametrize(
    "data", [b"[" * 200_000, stored(piece_length=1e999), stored(piece_length=1 << 40), b"\xff\xfe"]
)
def test_nasty_garbage(tmp_path: Path, data: bytes) -> None:
    part = tmp_path / DIGEST.hex
    journal.journal_path(part).write_bytes(data)
    assert journal.load(part, DIGEST, 8) is None


def test_prepare_continues_what_the_journal_proves(tmp_path: Path) -> None:
    part = tmp_path / DIGEST.hex
    part.write_bytes(bytes(10_000))
    entry = Journal(DIGEST, 10_000, 1000, b"\xf0\x00")
    journal.save(part, entry)
    journal.control_path(part).write_bytes(b"whatever aria2 left")
    assert journal.prepare(part, DIGEST, 10_000) == entry
    assert journal.control_path(part).read_bytes() == entry.control_file()
    assert part.stat().st_size == 10_000


@pytest.mark.parametrize("what", ["no journal", "garbage", "short part", "no part"])
def test_prepare_starts_from_nothing(tmp_path: Path, what: str) -> None:
    part = tmp_path / DIGEST.hex
    part.write_bytes(bytes(9999 if what == "short part" else 10_000))
    journal.save(part, Journal(DIGEST, 10_000, 1000, b"\xff\xc0"))
    journal.control_path(part).write_bytes(b"x")
    if what == "no journal":
        journal.journal_path(part).unlink()
    elif what == "garbage":
        journal.journal_path(part).write_bytes(b"{")
    elif what == "no part":
        part.unlink()
    assert journal.prepare(part, DIGEST, 10_000) is None
    assert list(tmp_path.iterdir()) == []


def test_clear(tmp_path: Path) -> None:
    part = tmp_path / DIGEST.hex
    part.write_bytes(b"x")
    journal.save(part, Journal(DIGEST, 1, 1, b"\x80"))
    journal.clear(part)
    journal.clear(part)
    assert list(tmp_path.iterdir()) == [part]
