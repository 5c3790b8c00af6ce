"""Digests of files: in one go, or chasing a file while aria2 still writes it.

hashlib releases the GIL for big buffers, so these run in threads beside everything else.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from orchestrator.core.files import Algorithm, Digest, git_blob_header
from orchestrator.errors import Interrupted
from orchestrator.platform.open_flags import NOATIME
from orchestrator.platform.places import read_into, read_on_into, will_read_on
from orchestrator.proof.pieces import PIECE, PieceHasher, Pieces
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import open_regular

BUFFER = 256 << 10

OnBytes = Callable[[int], None]
"""Told how many more bytes were read."""


@dataclass(frozen=True, slots=True)
class WholeRead:
    """The result of a whole read of a file: its digest, its stat, and its pieces if it has several."""

    digest: Digest
    found: os.stat_result
    pieces: Pieces | None


class Hasher:
    """Computes the digest and the pieces of bytes in order. `size` is the whole length, which git hashes first."""

    __slots__ = ("_algorithm", "_hash", "_pieces")

    def __init__(self, algorithm: Algorithm, size: int, *, with_pieces: bool = True) -> None:
        self._algorithm = algorithm
        self._pieces = PieceHasher() if with_pieces and size > PIECE else None
        if algorithm is Algorithm.SHA256:
            self._hash = hashlib.sha256()
        else:
            self._hash = hashlib.sha1(git_blob_header(size), usedforsecurity=False)

    def update(self, data: memoryview) -> None:
        """Add the next bytes."""
        self._hash.update(data)
        if self._pieces:
            self._pieces.update(data)

    def digest(self) -> Digest:
        """The digest of all bytes so far."""
        return Digest(self._algorithm, self._hash.hexdigest())

    def pieces(self) -> Pieces | None:
        """The pieces of all bytes so far; None for a file of one piece."""
        return self._pieces.pieces() if self._pieces else None


class ChasingHasher:
    """Hashes a file that grows, along its finished prefix.

    Open it once the file exists. Any worker thread may call `advance`, one at a time; the caller says how far the
    bytes are final. Bytes below `position` must never change: when a range is fetched again, drop this hasher. Holds
    one file descriptor until `close` (or `finish`).
    """

    def __init__(self, path: Path, algorithm: Algorithm, size: int) -> None:
        self.path = path
        self.size = size
        self._hasher = Hasher(algorithm, size)
        self._position = 0
        self._fd: int | None = open_to_read(path)
        self.inode = os.fstat(self._fd).st_ino
        self._buffer = bytearray(min(BUFFER, max(size, 1)))

    @property
    def position(self) -> int:
        """The number of hashed bytes."""
        return self._position

    @property
    def done(self) -> bool:
        """True when all `size` bytes are hashed."""
        return self._position >= self.size

    @property
    def pieces(self) -> Pieces | None:
        """The pieces of what is hashed; None for a file of one piece."""
        return self._hasher.pieces()

    def advance(self, limit: int, *, stop: threading.Event | None = None) -> int:
        """Hash on, up to byte `limit` at most; returns how many bytes that were. Fewer when the file is shorter.

        Raises Interrupted when `stop` is set, DiskIOError when reading fails.
        """
        start = self._position
        limit = min(limit, self.size)
        view = memoryview(self._buffer)
        with on_disk("read", self.path):
            while self._position < limit and self._fd is not None:
                halt(stop)
                count = read_into(self._fd, view[: limit - self._position], self._position)
                if not count:
                    break
                self._hasher.update(view[:count])
                self._position += count
        return self._position - start

    def finish(self, *, stop: threading.Event | None = None, on_bytes: OnBytes | None = None) -> Digest:
        """Hash what is left, close, and return the digest of the bytes up to `size`, or to the file's end."""
        while not self.done:
            count = self.advance(self._position + BUFFER, stop=stop)
            if not count:
                break
            if on_bytes:
                on_bytes(count)
        self.close()
        return self._hasher.digest()

    def close(self) -> None:
        """Give the file descriptor back. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> ChasingHasher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def hash_file(
    path: Path,
    algorithm: Algorithm,
    *,
    size: int | None = None,
    stop: threading.Event | None = None,
    on_bytes: OnBytes | None = None,
) -> Digest:
    """The digest of a regular file, which may be changed by nobody meanwhile.

    `size` is what it ought to have; None takes the file's own. Of a longer file, which may be endless, one byte more is
    read: that is enough for another digest. Raises Interrupted when `stop` is set, DiskIOError when
    the file cannot be read; a symlink is not followed.
    """
    return read_whole(path, algorithm, size=size, stop=stop, on_bytes=on_bytes).digest


def read_whole(
    path: Path,
    algorithm: Algorithm,
    *,
    size: int | None = None,
    stop: threading.Event | None = None,
    on_bytes: OnBytes | None = None,
    durable: bool = False,
) -> WholeRead:
    """`hash_file`, with the stat of the very file that was read; with `durable` the file is also fsynced."""
    fd = open_to_read(path)
    try:
        with on_disk("read", path):
            length = os.fstat(fd).st_size
            hasher = Hasher(algorithm, length if size is None else size)
            _feed(fd, hasher, length if size is None else min(length, size + 1), stop, on_bytes)
            if durable:
                try:
                    os.fsync(fd)
                except OSError as error:
                    # Some read-only file systems have nothing to write, and say so.
                    if error.errno not in (errno.EINVAL, errno.EROFS):
                        raise
            return WholeRead(hasher.digest(), os.fstat(fd), hasher.pieces())
    finally:
        os.close(fd)


def read_both(
    path: Path, *, stop: threading.Event | None = None, on_bytes: OnBytes | None = None
) -> tuple[Digest, Digest]:
    """The sha256 and the git blob id of a regular file, from one read. Raises as `hash_file` does."""
    fd = open_to_read(path)
    try:
        with on_disk("read", path):
            length = os.fstat(fd).st_size
            both = _Both(length)
            _feed(fd, both, length, stop, on_bytes)
            return both.sha256.digest(), both.git.digest()
    finally:
        os.close(fd)


class _Both:
    __slots__ = ("git", "sha256")

    def __init__(self, size: int) -> None:
        self.sha256 = Hasher(Algorithm.SHA256, size, with_pieces=False)
        self.git = Hasher(Algorithm.GIT_SHA1, size, with_pieces=False)

    def update(self, data: memoryview) -> None:
        self.sha256.update(data)
        self.git.update(data)


def read_pieces(
    path: Path, size: int, *, stop: threading.Event | None = None, on_bytes: OnBytes | None = None
) -> tuple[Pieces, os.stat_result]:
    """The pieces of the first `size` bytes of a regular file, and its stat: eight times as fast as its digest.

    Raises as `hash_file` does.
    """
    fd = open_to_read(path)
    try:
        with on_disk("read", path):
            hasher = PieceHasher()
            _feed(fd, hasher, min(os.fstat(fd).st_size, size), stop, on_bytes)
            return hasher.pieces(), os.fstat(fd)
    finally:
        os.close(fd)


def _feed(
    fd: int, hasher: Hasher | PieceHasher | _Both, length: int, stop: threading.Event | None, on_bytes: OnBytes | None
) -> None:
    """Read at most `length` bytes."""
    buffer = bytearray(max(1, min(BUFFER, length)))
    view = memoryview(buffer)
    while length:
        halt(stop)
        count = read_on_into(fd, view[:length])
        if not count:
            return
        length -= count
        hasher.update(view[:count])
        if on_bytes:
            on_bytes(count)


def halt(stop: threading.Event | None) -> None:
    """Raise Interrupted when `stop` is set. Which signal it was, only the main thread knows; SIGINT stands for it."""
    if stop is not None and stop.is_set():
        raise Interrupted(signal.SIGINT)


def open_to_read(path: Path) -> int:
    """A descriptor of a regular file that is read from its beginning to its end; a symlink is not followed."""
    with on_disk("read", path):
        try:
            # A check is no use: the time of last use, by which a cache is cleaned up, must not change. Only the owner
            # of a file may ask for that.
            fd = open_regular(path, flags=NOATIME)
        except PermissionError:
            fd = open_regular(path)
    # Twice the read-ahead; worth it on spinning and network disks, harmless elsewhere.
    will_read_on(fd)
    return fd
