"""Digests of whole and of growing files, and what it takes to be a VerifiedFile."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from orchestrator.core.files import Algorithm, Digest, git_blob_header
from orchestrator.disk.file_stat import Identity
from orchestrator.errors import DiskIOError, IntegrityError, Interrupted
from orchestrator.proof.hashing import BUFFER, ChasingHasher, hash_file
from orchestrator.proof.verified import ProvingWriter, VerifiedFile, verify

DATA = os.urandom(3 * BUFFER + 17)


def digest_of(data: bytes, algorithm: Algorithm) -> Digest:
    if algorithm is Algorithm.SHA256:
        return Digest(algorithm, hashlib.sha256(data).hexdigest())
    return Digest(algorithm, hashlib.sha1(git_blob_header(len(data)) + data).hexdigest())


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("size", [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, len(DATA)])
def test_a_file_has_its_digest(tmp_path: Path, algorithm: Algorithm, size: int) -> None:
    path, read = tmp_path / "file", list[int]()
    path.write_bytes(DATA[:size])
    assert hash_file(path, algorithm, on_bytes=read.append) == digest_of(DATA[:size], algorithm)
    assert sum(read) == size
    with ChasingHasher(path, algorithm, size) as hasher:
        assert hasher.finish() == digest_of(DATA[:size], algorithm)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_growing_file_is_chased(tmp_path: Path, algorithm: Algorithm) -> None:
    path = tmp_path / "part"
    with path.open("wb") as file:
        file.truncate(len(DATA))
        hasher = ChasingHasher(path, algorithm, len(DATA))
        for end in (0, 10, 10, BUFFER, 2 * BUFFER + 5, len(DATA)):
            file.seek(hasher.position)
            file.write(DATA[hasher.position : end])
            file.flush()
            before = hasher.position
            assert hasher.advance(end) == end - before
            assert hasher.position == end
    assert hasher.done
    assert hasher.advance(10**9) == 0
    verified = verify(path, digest_of(DATA, algorithm), len(DATA), hasher=hasher)
    assert verified.size == len(DATA)


def test_a_chase_stops_at_the_end_of_a_short_file(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"12345")
    hasher = ChasingHasher(path, Algorithm.SHA256, 10)
    assert hasher.advance(10) == 5
    assert not hasher.done
    hasher.close()


def test_a_chase_over_bytes_that_changed_is_read_again(part: Path) -> None:
    hasher = ChasingHasher(part, Algorithm.SHA256, len(DATA))
    part.write_bytes(b"\0" * len(DATA))
    hasher.advance(BUFFER)
    with part.open("r+b") as file:
        file.write(DATA)
    read: list[int] = []
    verified = verify(part, digest_of(DATA, Algorithm.SHA256), len(DATA), hasher=hasher, on_bytes=read.append)
    assert verified.path == part
    assert sum(read) == len(DATA) - BUFFER + len(DATA)


def test_wrong_bytes_are_told_with_both_digests(part: Path) -> None:
    wrong, right = digest_of(DATA, Algorithm.SHA256), digest_of(b"other", Algorithm.SHA256)
    for hasher in (None, ChasingHasher(part, Algorithm.SHA256, len(DATA))):
        with pytest.raises(IntegrityError) as error:
            verify(part, right, len(DATA), hasher=hasher)
        assert str(right) in error.value.message
        assert str(wrong) in error.value.message


def test_a_wrong_size_is_told_and_nothing_is_read(part: Path) -> None:
    read: list[int] = []
    with pytest.raises(IntegrityError, match=f"{len(DATA)} bytes, 5 were expected"):
        verify(part, digest_of(DATA, Algorithm.SHA256), 5, on_bytes=read.append)
    assert read == []


def test_links_and_missing_files_are_refused(part: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(part)
    with pytest.raises(IntegrityError, match="not a regular file"):
        verify(link, digest_of(DATA, Algorithm.SHA256), len(DATA))
    with pytest.raises(DiskIOError):
        verify(tmp_path / "none", digest_of(DATA, Algorithm.SHA256), len(DATA))


def test_a_stop_ends_the_reading(part: Path) -> None:
    stop = threading.Event()
    read: list[int] = []

    def count(size: int) -> None:
        read.append(size)
        stop.set()

    with pytest.raises(Interrupted):
        verify(part, digest_of(DATA, Algorithm.SHA256), len(DATA), stop=stop, on_bytes=count)
    assert read == [BUFFER]


def test_only_verify_makes_a_verified_file(part: Path) -> None:
    made = verify(part, digest_of(DATA, Algorithm.SHA256), len(DATA))
    with pytest.raises(TypeError):
        VerifiedFile(part, made.digest, made.size, made.identity, object())
    with pytest.raises(TypeError):
        VerifiedFile(part, made.digest, made.size, made.identity)  # type: ignore[call-arg]
    assert made.identity == Identity.of(part.stat())


def test_hashing_gives_its_descriptors_back(part: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    hasher = ChasingHasher(part, Algorithm.SHA256, len(DATA))
    with pytest.raises(IntegrityError):
        verify(part, digest_of(DATA, Algorithm.SHA256), 5, hasher=hasher)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("size", [0, 1, len(DATA)])
def test_what_is_written_is_proven_without_reading_it(tmp_path: Path, algorithm: Algorithm, size: int) -> None:
    path, data = tmp_path / "part", DATA[:size]
    with ProvingWriter(path, digest_of(data, algorithm), size) as writer:
        for start in range(0, size, 1000):
            writer.write(memoryview(data)[start : start + 1000])
        proof = writer.proof()
    assert path.read_bytes() == data
    assert proof == verify(path, digest_of(data, algorithm), size)
    assert proof is not None
    assert proof.recheck().st_size == size


def test_other_bytes_prove_nothing(tmp_path: Path) -> None:
    digest = digest_of(DATA, Algorithm.SHA256)
    for number, data in enumerate((DATA[:-1], DATA + b"!", DATA[:-1] + b"!")):
        with ProvingWriter(tmp_path / str(number), digest, len(DATA)) as writer:
            writer.write(memoryview(data))
            assert writer.proof() is None


def test_bytes_of_somebody_else_in_the_file_prove_nothing(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(DATA + b"more")
    with ProvingWriter(path, digest_of(DATA, Algorithm.SHA256), len(DATA)) as writer:
        writer.write(memoryview(DATA))
        assert writer.proof() is None


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        ProvingWriter(tmp_path / "part", digest_of(b"", Algorithm.SHA256), 0)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_changed_since_it_was_written_is_not_placed(tmp_path: Path) -> None:
    path = tmp_path / "part"
    with ProvingWriter(path, digest_of(DATA, Algorithm.SHA256), len(DATA)) as writer:
        writer.write(memoryview(DATA))
        proof = writer.proof()
    path.write_bytes(DATA[:-1])
    assert proof is not None
    with pytest.raises(IntegrityError, match="was changed"):
        proof.recheck()
