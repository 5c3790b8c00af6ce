"""Verified files: the only maker of `VerifiedFile`, which is all that placing accepts."""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Self

from orchestrator.core.files import Digest
from orchestrator.disk.file_stat import Identity
from orchestrator.errors import IntegrityError
from orchestrator.platform.open_flags import CLOEXEC, NOFOLLOW
from orchestrator.proof.hashing import ChasingHasher, Hasher, OnBytes, read_whole
from orchestrator.proof.pieces import Pieces
from orchestrator.system.failures import on_disk

_TOKEN = object()


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file whose bytes had `digest` when it was read, and still has while its stat equals `identity`.

    `pieces` came from the same read; a file of one piece has none.
    """

    path: Path
    digest: Digest
    size: int
    identity: Identity
    token: InitVar[object]
    pieces: Pieces | None = None

    def __post_init__(self, token: object) -> None:
        if token is not _TOKEN:
            raise TypeError("only this module makes a VerifiedFile")

    def recheck(self) -> os.stat_result:
        """The file's stat now. Raises IntegrityError when the file changed since it was verified, or is gone."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            found = None
        if found is None or Identity.of(found) != self.identity:
            state = "is gone" if found is None else "was changed"
            raise IntegrityError(
                f"{os.fspath(self.path)!r} {state} after it was verified; it was not placed",
                hint="does another program write to the staging folder? run it again",
            )
        return found


class ProvingWriter:
    """Writes a file from its beginning and hashes what it writes, so that nobody need read that again.

    Nobody else may write to it meanwhile. A context manager; closing does not sync. `write` raises OSError.
    """

    def __init__(self, path: Path, digest: Digest, size: int) -> None:
        self._path, self._digest, self._size = path, digest, size
        self._hasher = Hasher(digest.algorithm, size)
        self._written = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | NOFOLLOW | CLOEXEC, 0o666)

    def write(self, data: memoryview) -> None:
        """Add the next bytes."""
        self._hasher.update(data)
        self._written += len(data)
        while data:
            data = data[os.write(self._fd, data) :]

    def proof(self) -> VerifiedFile | None:
        """The proof of what was written; None when it is not `size` bytes with `digest`, or no regular file."""
        found = os.fstat(self._fd)
        is_whole = self._written == found.st_size == self._size and stat.S_ISREG(found.st_mode)
        if not is_whole or self._hasher.digest() != self._digest:
            return None
        return VerifiedFile(self._path, self._digest, self._size, Identity.of(found), _TOKEN, self._hasher.pieces())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)


def verify(
    path: Path,
    digest: Digest,
    size: int,
    *,
    hasher: ChasingHasher | None = None,
    stop: threading.Event | None = None,
    on_bytes: OnBytes | None = None,
) -> VerifiedFile:
    """Prove that the regular file `path` has `size` bytes and `digest`.

    `hasher` is one that already ran along while the file arrived, so that only the rest is read; it is closed. When it
    ends at a wrong digest the whole file is read once more, since it may have read a range that was written again.
    `on_bytes` is told what is read here. Raises IntegrityError, Interrupted when `stop` is set, DiskIOError.
    """
    try:
        with on_disk("read", path):
            found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            raise IntegrityError(f"{os.fspath(path)!r} is not a regular file", file=str(path))
        if found.st_size != size:
            raise IntegrityError(f"{os.fspath(path)!r} has {found.st_size} bytes, {size} were expected", file=str(path))
        # A hasher of an older file under this name has proven nothing about this one.
        is_same = hasher is not None and hasher.inode == found.st_ino
        if hasher is not None and is_same and hasher.finish(stop=stop, on_bytes=on_bytes) == digest:
            return _verified(path, digest, size, found, hasher.pieces)
    finally:
        if hasher is not None:
            hasher.close()
    read = read_whole(path, digest.algorithm, size=size, stop=stop, on_bytes=on_bytes)
    if read.digest != digest:
        raise IntegrityError(
            f"{os.fspath(path)!r} has the right size but wrong bytes: expected {digest}, got {read.digest}",
            file=str(path),
        )
    return _verified(path, digest, size, read.found, read.pieces)


def _verified(path: Path, digest: Digest, size: int, read: os.stat_result, pieces: Pieces | None) -> VerifiedFile:
    """`read` is the stat of what was hashed; what lies at `path` now must still be that."""
    verified = VerifiedFile(path, digest, size, Identity.of(read), _TOKEN, pieces)
    verified.recheck()
    return verified
