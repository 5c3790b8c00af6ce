"""Our own locks between processes, by flock(2) on files that only we open."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

_TRIES = 100


@contextlib.contextmanager
def state_lock(path: str | os.PathLike[str], *, dir_fd: int | None = None) -> Iterator[None]:
    """One writer of a state file at a time; waits. Without working locks the last writer wins.

    What is lost then costs time (a blob is proven again, a listing asked again), never correctness. `path` is relative
    to the folder open at `dir_fd` when that is given; who holds the lock may remove the file. Raises OSError when the
    lock file cannot be made, or is a symlink.
    """
    for left in range(_TRIES, 0, -1):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=dir_fd)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_EX)
            if left == 1 or _is_named(fd, path, dir_fd):
                yield
                return
        finally:
            os.close(fd)


def lock_alone(fd: int) -> bool:
    """Lock the open file for this process alone, at once. False when another one holds it.

    True also where the file system knows no locks: the caller has another way to tell.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_named(fd: int, path: str | os.PathLike[str], dir_fd: int | None) -> bool:
    """False when the holder before removed the file: then the name belongs to another one by now."""
    try:
        named = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)
