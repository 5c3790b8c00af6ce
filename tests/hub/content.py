"""Bytes that a face can serve: in memory or in a file on disk, with the digests the Hub names them by.

A Hub file is named by its git blob hash, `sha1("blob " + len + NUL + bytes)`; an LFS file by its sha256, while its
git blob hash is that of the deterministic pointer text (Git LFS specification v1). Generated content is a pure
function of (size, seed), does not compress, and differs in every 4 KiB, so a piece written at the wrong place is
always noticed.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

MIB = 1 << 20
GIB = 1 << 30


class Content(Protocol):
    """What a face sends: a size, random access, and a path when the kernel may send the file by itself."""

    @property
    def size(self) -> int: ...

    @property
    def path(self) -> Path | None: ...

    def read(self, offset: int, count: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """Content held in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def path(self) -> Path | None:
        return None

    def read(self, offset: int, count: int) -> bytes:
        return self.data[offset : offset + count]


@dataclass(frozen=True)
class OnDisk:
    """Content in a file. The sha256 is computed once and kept beside the file, keyed by its size and mtime."""

    file: Path
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", self.file.stat().st_size)

    @property
    def path(self) -> Path | None:
        return self.file

    def read(self, offset: int, count: int) -> bytes:
        with self.file.open("rb") as handle:
            handle.seek(offset)
            return handle.read(count)

    @cached_property
    def digest(self) -> str:
        status, memo = self.file.stat(), self.file.with_name(self.file.name + ".digest.json")
        key = [status.st_size, status.st_mtime_ns]
        if memo.exists() and (known := json.loads(memo.read_text()))["key"] == key:
            return str(known["sha256"])
        with self.file.open("rb") as handle:
            sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
        memo.write_text(json.dumps({"key": key, "sha256": sha256}))
        return sha256


def content_of(source: bytes | Path | Content) -> Content:
    """Wrap bytes or a path; content passes through."""
    if isinstance(source, bytes):
        return Bytes(source)
    return OnDisk(source) if isinstance(source, Path) else source


def sha256_of(content: Content) -> str:
    """The LFS oid: the sha256 of the bytes, in hex."""
    if isinstance(content, OnDisk):
        return content.digest
    return hashlib.sha256(content.read(0, content.size)).hexdigest()


def git_blob_oid(data: bytes) -> str:
    """The git blob hash of `data`, in hex."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def blob_names(data: bytes) -> tuple[str, str]:
    """What a blob of `data` may be called in a cache: its sha256, and git's hash."""
    return hashlib.sha256(data).hexdigest(), git_blob_oid(data)


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The pointer text that git stores in place of an LFS file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def generate(size: int, seed: int) -> bytes:
    """`size` deterministic bytes; for what fits in memory."""
    return b"".join(_blocks(size, seed))


def make_file(path: Path, size: int, seed: int) -> Path:
    """Write the same bytes as `generate` to `path`, about as fast as the disk. A file of that size is kept."""
    if not (path.exists() and path.stat().st_size == size):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as handle:
            handle.writelines(_blocks(size, seed))
        part.replace(path)
    return path


def _blocks(size: int, seed: int) -> Iterator[bytes]:
    pool = random.Random(seed).randbytes(2 * MIB)
    for index in range(-(-size // MIB)):
        # A different window of the pool for each block, stamped with its number: no two blocks are alike.
        shift = (index * 7919) % MIB
        stamp = index.to_bytes(8, "big") + seed.to_bytes(8, "big", signed=True)
        block = stamp + pool[shift : shift + MIB - len(stamp)]
        yield block[: min(MIB, size - index * MIB)]
