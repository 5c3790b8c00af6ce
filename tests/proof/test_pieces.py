"""Piece hashes: what they say, where they are kept, and that a spoilt file of them counts as none."""

import hashlib
import itertools
import os
import stat
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import Algorithm, Digest
from orchestrator.proof.checkup import check
from orchestrator.proof.hashing import ChasingHasher, read_pieces, read_whole
from orchestrator.proof.pieces import PIECE, PieceHasher, Pieces, PieceStore
from orchestrator.proof.verified import verify
from tests.cache.world import World, model_of

DATA = bytes(range(251)) * ((3 * PIECE + 999) // 251)
DIGEST = Digest(Algorithm.SHA256, hashlib.sha256(DATA).hexdigest())


def pieces_of(data: bytes) -> Pieces:
    hashes = b"".join(xxhash.xxh3_128_digest(data[at : at + PIECE]) for at in range(0, len(data), PIECE))
    return Pieces(len(data), PIECE, hashes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def store(tmp_path: Path) -> PieceStore:
    return PieceStore(World(tmp_path / "home").state)


def test_every_reading_yields_the_same_pieces(file: Path) -> None:
    wanted = pieces_of(DATA)
    assert read_whole(file, Algorithm.SHA256).pieces == wanted
    assert read_pieces(file, len(DATA))[0] == wanted
    hasher = ChasingHasher(file, Algorithm.SHA256, len(DATA))
    for limit in (1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 7):
        hasher.advance(limit)
    assert verify(file, DIGEST, len(DATA), hasher=hasher).pieces == wanted
    assert verify(file, DIGEST, len(DATA)).pieces == wanted


@given(cuts=st.lists(st.integers(0, len(DATA)), max_size=6), size=st.integers(0, len(DATA)))
def test_pieces_do_not_depend_on_how_the_bytes_come(cuts: list[int], size: int) -> None:
    hasher = PieceHasher()
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    for start, end in itertools.pairwise(edges):
        hasher.update(memoryview(DATA)[start:end])
    assert hasher.pieces() == pieces_of(DATA[:size])


def test_a_file_of_one_piece_has_none(tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(DATA[:PIECE])
    assert read_whole(path, Algorithm.SHA256).pieces is None


def test_they_are_kept_compact_and_private(store: PieceStore, tmp_path: Path) -> None:
    store.save(DIGEST, pieces_of(DATA))
    path = tmp_path / "home" / "glm-aria" / "pieces" / DIGEST.hex
    assert store.load(DIGEST) == pieces_of(DATA)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == 16 + 4 * 16 + 16
    assert store.names() == (DIGEST.hex,)
    store.forget(DIGEST)
    store.forget(DIGEST)
    assert store.load(DIGEST) is None


@pytest.mark.parametrize("at", [0, 4, 8, 16, 50, -1])
def test_a_spoilt_file_counts_as_absent(store: PieceStore, tmp_path: Path, at: int) -> None:
    store.save(DIGEST, pieces_of(DATA))
    path = tmp_path / "home" / "glm-aria" / "pieces" / DIGEST.hex
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[at] ^= 1
    for data in (bytes(spoilt), whole[:-1], whole + b"x", b""):
        path.write_bytes(data)
        assert store.load(DIGEST) is None


@pytest.mark.parametrize("fast", [False, True])
def test_rot_is_named_by_its_ranges(file: Path, store: PieceStore, fast: bool) -> None:
    assert check(file, DIGEST, len(DATA), store, fast=fast).ranges == ()
    with file.open("r+b") as out:
        for at in (0, PIECE, 3 * PIECE + 3):
            out.seek(at)
            out.write(bytes([DATA[at] ^ 1]))
    found = check(file, DIGEST, len(DATA), store, fast=fast)
    assert found.ranges == ((0, 2 * PIECE), (3 * PIECE, len(DATA)))
    assert found.is_fast is fast
    store.forget(DIGEST)
    assert check(file, DIGEST, len(DATA), store, fast=fast).ranges == ((0, len(DATA)),)


def test_pieces_that_lie_do_not_make_a_wrong_blob_right(file: Path, store: PieceStore) -> None:
    file.write_bytes(DATA[:-1] + b"?")
    store.save(DIGEST, pieces_of(file.read_bytes()))
    assert check(file, DIGEST, len(DATA), store).ranges == ((0, len(DATA)),)


def test_a_check_is_no_use(file: Path, store: PieceStore) -> None:
    os.utime(file, (1_000_000, 2_000_000))
    check(file, DIGEST, len(DATA), store)
    check(file, DIGEST, len(DATA), store, fast=True)
    assert file.stat().st_atime == 1_000_000


def test_placing_and_proving_keep_them(tmp_path: Path) -> None:
    content = {"big.safetensors": DATA, "config.json": b"{}"}
    world, model = World(tmp_path / "one"), model_of(content)
    world.pull(model, content)
    assert world.cache.pieces.names() == (DIGEST.hex,)
    world.cache.pieces.forget(DIGEST)
    world.cache.proofs.forget(model.ref.repo.folder, [DIGEST])
    world.pull(model, content)
    assert world.cache.pieces.load(DIGEST) == pieces_of(DATA)
