"""The journal: what it says comes back, what is damaged is never believed, and a part without one begins anew."""

from __future__ import annotations

import errno
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.aria2.control import BLOCK, PIECE
from orchestrator.core.extents import Extent, Extents
from orchestrator.core.files import Algorithm, Digest
from orchestrator.transfer import journal

DIGEST = Digest(Algorithm.SHA256, "ab" * 32)
SIZE = 3 * PIECE + 77
EXTENTS = Extents.of(
    [Extent(0, 10 * BLOCK, "hub"), Extent(10 * BLOCK, 12 * BLOCK, "near"), Extent(2 * PIECE, SIZE, "hub")]
)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / DIGEST.hex


def test_what_is_saved_comes_back(part: Path) -> None:
    journal.save(part, DIGEST, SIZE, EXTENTS)
    assert journal.load(part, DIGEST, SIZE) == EXTENTS
    assert [path.name for path in part.parent.iterdir()] == [f"{DIGEST.hex}.journal"]


def test_of_another_blob_or_size_it_says_nothing(part: Path) -> None:
    journal.save(part, DIGEST, SIZE, EXTENTS)
    assert journal.load(part, Digest(Algorithm.SHA256, "cd" * 32), SIZE) is None
    assert journal.load(part, DIGEST, SIZE + 1) is None


@given(st.binary(max_size=300) | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=8).map(
    lambda value: json.dumps(value).encode()
))  # fmt: skip
def test_garbage_is_never_believed_and_never_raises(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / DIGEST.hex
        journal.journal_path(part).write_bytes(data)
        assert journal.load(part, DIGEST, SIZE) is None


@pytest.mark.parametrize(
    "extents",
    [
        [[0, SIZE + 1, 0]],
        [[-1, 5, 0]],
        [[10, 5, 0]],
        [[0, 10, 0], [5, 20, 0]],
        [[0, 10, 3]],
        [[0, 10]],
        [["a", 1, 0]],
        7,
    ],
)
def test_extents_that_cannot_be(part: Path, extents: object) -> None:
    journal.save(part, DIGEST, SIZE, EXTENTS)
    stored = json.loads(journal.journal_path(part).read_text())
    journal.journal_path(part).write_text(json.dumps(stored | {"extents": extents}))
    assert journal.load(part, DIGEST, SIZE) is None


def test_a_part_with_a_journal_is_continued(part: Path) -> None:
    part.write_bytes(b"x" * SIZE)
    journal.save(part, DIGEST, SIZE, EXTENTS)
    leftover = journal.span_path(part, 3)
    leftover.hardlink_to(part)
    assert journal.prepare(part, DIGEST, SIZE) == EXTENTS
    assert not leftover.exists(), "a killed run's name of the part"
    assert part.read_bytes() == b"x" * SIZE


@pytest.mark.parametrize("how", ["no journal", "no part", "short part", "garbage"])
def test_any_other_begins_anew_at_its_full_size(part: Path, how: str) -> None:
    part.write_bytes(b"x" * (SIZE - 1 if how == "short part" else SIZE))
    journal.save(part, DIGEST, SIZE, EXTENTS)
    if how == "no journal":
        journal.journal_path(part).unlink()
    if how == "garbage":
        journal.journal_path(part).write_bytes(b"\0" * 40)
    if how == "no part":
        part.unlink()
    assert journal.prepare(part, DIGEST, SIZE) == Extents()
    assert part.stat().st_size == SIZE
    assert part.read_bytes() == bytes(SIZE)
    assert not journal.journal_path(part).exists()


def test_a_symlink_in_its_place_is_replaced(part: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"p" * SIZE)
    part.symlink_to(precious)
    journal.save(part, DIGEST, SIZE, EXTENTS)
    journal.prepare(part, DIGEST, SIZE)
    assert precious.read_bytes() == b"p" * SIZE
    assert not part.is_symlink()


def test_the_space_is_reserved(part: Path) -> None:
    journal.prepare(part, DIGEST, 8 << 20)
    assert part.stat().st_size == 8 << 20
    with part.open("r+b") as file:
        if journal._reserve(file.fileno(), 8 << 20):
            assert part.stat().st_blocks * 512 >= 8 << 20


def test_a_full_disk_shows_before_the_first_byte(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _size: int) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal, "_reserve", full)
    with pytest.raises(OSError, match="No space"):
        journal.prepare(part, DIGEST, SIZE)
