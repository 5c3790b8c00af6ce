"""Locks between processes, all by flock(2): our own on state files, and huggingface_hub's on blobs.

Nothing in a cache rests on them. Files appear by rename, from any process, and without locks of the file system a run
at most does work twice. What would be wrong without them, such as the ledgers of a registry, asks for `strict`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.disk.folders import Folder
from orchestrator.platform import file_locks
from orchestrator.platform.open_flags import CLOEXEC, NOFOLLOW, NONBLOCK
from orchestrator.system.failures import on_disk

_TRIES = 100
_PAUSE = 0.01


@contextlib.contextmanager
def state_lock(path: str | os.PathLike[str], *, dir_fd: int | None = None, strict: bool = False) -> Iterator[None]:
    """One writer of a state file at a time; waits. Without working locks the last writer wins.

    What is lost then costs time (a blob is proven again, a listing asked again), never correctness; where it would,
    `strict` raises instead. `path` is relative to the folder open at `dir_fd` when that is given; who holds the lock
    may remove the file. Raises OSError when the lock file cannot be made, or is a symlink.
    """
    for left in range(_TRIES, 0, -1):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | CLOEXEC | NOFOLLOW, 0o600, dir_fd=dir_fd)
        try:
            try:
                file_locks.lock(fd)
            except OSError as error:
                if strict:
                    raise OSError(error.errno, f"{error.strerror}: its file system must have locks", path) from error
            if left == 1 or _is_named(fd, path, dir_fd):
                yield
                return
        finally:
            os.close(fd)


def _is_named(fd: int, path: str | os.PathLike[str], dir_fd: int | None) -> bool:
    """False when the holder before removed the file: then the name belongs to another one by now."""
    try:
        named = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)


def lock_alone(fd: int) -> bool:
    """Lock the open file for this process alone, at once. False when another one holds it.

    True also where the file system knows no locks: the caller has another way to tell.
    """
    try:
        file_locks.lock(fd, at_once=True)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def own_lock(path: Path) -> Iterator[bool]:
    """Hold a lock file of the state for as long as a process works; yields as `lock_alone`.

    Its folder is made where it is missing. Raises per `system.failures`.
    """
    with on_disk("lock", path):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | CLOEXEC | NOFOLLOW, 0o600)
    try:
        yield lock_alone(fd)
    finally:
        os.close(fd)


@dataclass(slots=True)
class Patience:
    """The time that a run may still wait for locks on blobs, in all: `seconds`.

    Another process may hold thousands of them, and waiting is a courtesy. Shared by threads, which may wait a little
    longer together.
    """

    seconds: float = 1.0


@contextlib.contextmanager
def blob_lock(path: str | Path, patience: Patience | None = None, *, create_in: Folder | None = None) -> Iterator[bool]:
    """Hold the lock file `path` of a blob if it exists, so that huggingface_hub waits; yields whether it is held.

    huggingface_hub 2.4 holds `filelock.FileLock(.locks/<folder>/<etag>.lock, mode=0o664)`, which is flock(2) on a file
    that is never removed. So where there is no such file nobody holds the lock, and none is made: that would cost a
    third of placing 2,000 small files. With `create_in` it is an entry of that open folder, and made if it does not
    exist.

    It is not held when another process keeps it for longer than our patience (one that downloads the blob holds it for
    hours, and our blob is already verified; without patience there is no waiting), nor where the file system knows no
    locks, or forbids us the file.
    """
    flags = os.O_RDWR | NONBLOCK | CLOEXEC | NOFOLLOW | (os.O_CREAT if create_in else 0)
    try:
        # The mode that huggingface_hub gives it.
        fd = os.open(path, flags, 0o664, dir_fd=create_in.fd if create_in else None)
    except OSError:
        yield False
        return
    try:
        yield _lock_patiently(fd, patience or Patience(0))
    finally:
        os.close(fd)


def _lock_patiently(fd: int, patience: Patience) -> bool:
    while True:
        try:
            file_locks.lock(fd, at_once=True)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES) or patience.seconds <= 0:
                return False
            begun = time.monotonic()
            time.sleep(_PAUSE)
            patience.seconds -= time.monotonic() - begun
        else:
            return True
