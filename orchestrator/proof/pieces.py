"""xxh3_128 of every piece of a blob: finds rot at the disk's speed, and says where it is.

`pieces/<hex of the digest>` holds them, keyed by digest, so that they hold for a blob wherever it lies. They are made
by the same read that proves the digest, and only from bytes that had it. xxh3 is no cryptographic hash: it finds what
decays, not what somebody forges, so a digest is never taken for proven because of it.

The form, little-endian: magic `GAP1`, u32 piece length, u64 blob length, 16 bytes for each piece, 16 bytes xxh3_128 of
all before. A file that is not exactly that counts as absent.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from orchestrator.core.files import Digest
from orchestrator.disk.atomic import write_file
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import RECORD_BYTES, read_small

PIECE = 4 << 20
"""Bytes of a piece. 1 GiB takes 4 KiB of hashes, and a flipped bit costs at most these many bytes to fetch again."""

_MAGIC = b"GAP1"
_HEAD = struct.Struct("<4sIQ")
_HASH = 16

Range = tuple[int, int]
"""Bytes from the first up to, not including, the second."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The hashes of a blob of `size` bytes, `_HASH` bytes for each `piece` bytes of it, in order."""

    size: int
    piece: int
    hashes: bytes

    @property
    def count(self) -> int:
        """The number of pieces."""
        return -(-self.size // self.piece)

    def range(self, index: int) -> Range:
        """The bytes of a piece."""
        return index * self.piece, min(self.size, (index + 1) * self.piece)

    def hash(self, index: int) -> bytes:
        """The hash of a piece; empty where there is none."""
        return self.hashes[index * _HASH : (index + 1) * _HASH]

    def differing(self, other: Pieces) -> tuple[Range, ...]:
        """The ranges of this blob that `other`, another reading of it, has not; neighbours are joined.

        `other` may be longer or shorter; what it has beyond the end of this one is not named.
        """
        bad = (index for index in range(self.count) if self.hash(index) != other.hash(index))
        return joined(self.range(index) for index in bad)


class PieceHasher:
    """Computes the pieces of a blob from its bytes in order."""

    __slots__ = ("_hash", "_hashes", "_left", "_size")

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()
        self._hashes = bytearray()
        self._left = PIECE
        self._size = 0

    def update(self, data: memoryview) -> None:
        """Add the next bytes."""
        self._size += len(data)
        while len(data) >= self._left:
            self._hash.update(data[: self._left])
            data = data[self._left :]
            self._hashes += self._hash.digest()
            self._hash.reset()
            self._left = PIECE
        if data:
            self._hash.update(data)
            self._left -= len(data)

    def pieces(self) -> Pieces:
        """Those of all bytes so far."""
        last = self._hash.digest() if self._left < PIECE else b""
        return Pieces(self._size, PIECE, bytes(self._hashes) + last)


class PieceStore:
    """The piece hashes of one cache. Blobs of at most one piece need none: their digest is as quick."""

    def __init__(self, state_dir: Path) -> None:
        self._stage = state_dir / "stage"
        self._folder = state_dir / "pieces"

    def load(self, digest: Digest) -> Pieces | None:
        """The known pieces of the blob; None if there are none, or damaged ones."""
        try:
            return parse(read_small(self._folder / digest.hex, RECORD_BYTES))
        except OSError:
            return None

    def save(self, digest: Digest, pieces: Pieces) -> None:
        """Keep the hashes of a blob that was just proven to have `digest`. Raises NoSpaceError and its like.

        Losing them costs the speed of a later check, never correctness; callers may ignore an error.
        """
        if pieces.size <= pieces.piece or self.load(digest) == pieces:
            return
        with on_disk("create", self._folder):
            self._folder.mkdir(mode=0o700, exist_ok=True)
        write_file(self._folder / digest.hex, render(pieces), self._stage, mode=0o600, durable=False)

    def forget(self, digest: Digest) -> None:
        """Drop them. Fine when there are none."""
        path = self._folder / digest.hex
        with on_disk("remove", path):
            path.unlink(missing_ok=True)

    def names(self) -> tuple[str, ...]:
        """The hex digests that have piece hashes, sorted."""
        try:
            return tuple(sorted(os.listdir(self._folder)))  # noqa: PTH208 - names are all that is wanted
        except OSError:
            return ()


def piece_hash(data: bytes | memoryview) -> bytes:
    """The hash of one piece."""
    return xxhash.xxh3_128_digest(data)


def joined(ranges: Iterator[Range]) -> tuple[Range, ...]:
    """Ranges in order, with those that touch made one."""
    found: list[Range] = []
    for start, end in ranges:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return tuple(found)


def render(pieces: Pieces) -> bytes:
    """The form in which they are kept."""
    body = _HEAD.pack(_MAGIC, pieces.piece, pieces.size) + pieces.hashes
    return body + xxhash.xxh3_128_digest(body)


def parse(data: bytes) -> Pieces | None:
    """Read that form; None for anything else."""
    if len(data) < _HEAD.size + _HASH or xxhash.xxh3_128_digest(data[:-_HASH]) != data[-_HASH:]:
        return None
    magic, piece, size = _HEAD.unpack_from(data)
    pieces = Pieces(size, piece, data[_HEAD.size : -_HASH])
    return pieces if magic == _MAGIC and piece and len(pieces.hashes) == pieces.count * _HASH else None
