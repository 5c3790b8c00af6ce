"""Read small files that somebody else may have made: a FIFO, a device, an endless file, a link to elsewhere."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from orchestrator.platform.open_flags import CLOEXEC, NOCTTY, NOFOLLOW, NONBLOCK

SETTINGS_BYTES = 1 << 20
"""At most so many bytes of settings, model lists and secrets."""
RECORD_BYTES = 64 << 20
"""At most so many bytes of listings, records and lock files: a million files fit."""
REF_BYTES = 256
"""At most so many bytes of a ref: a commit is 40."""
_CHUNK = 1 << 20
_GIVEN = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/self/fd/\d+")


def read_small(
    path: str | os.PathLike[str],
    most: int,
    *,
    dir_fd: int | None = None,
    follow: bool = False,
    judge: Callable[[os.stat_result], None] | None = None,
) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Never waits for a writer of a FIFO and never reads a device. A symlink is refused unless `follow`; `path` is
    relative to the folder open at `dir_fd` when that is given. `judge` gets the stat of what was opened before anything
    of it is read, and may raise. Raises OSError: EINVAL for what is no regular file, EOVERFLOW for a larger one, ELOOP
    for a symlink.
    """
    fd = open_regular(path, dir_fd=dir_fd, follow=follow, judge=judge)
    try:
        return read_stream(fd, most, path)
    finally:
        os.close(fd)


def read_named(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the content of a small file that the user named for this very run, which may be a pipe of the shell's.

    `<(command)` is named `/dev/fd/N`: a descriptor that this process was given, read to its end as standard input would
    be. /dev/null is an empty one. All else is read by `read_small`. Raises OSError as that does.
    """
    if is_given(path) and not _is_regular(path):
        fd = os.open(path, os.O_RDONLY | NOCTTY | CLOEXEC)
        try:
            return read_stream(fd, most, path)
        finally:
            os.close(fd)
    return b"" if os.fspath(path) == os.devnull else read_small(path, most, follow=True)


def is_given(path: str | os.PathLike[str]) -> bool:
    """True for the name of a descriptor of this process, which lies in no folder."""
    return _GIVEN.fullmatch(os.fspath(path)) is not None


def read_stream(fd: int, most: int, path: str | os.PathLike[str]) -> bytes:
    """Return what is left in the open file. Raises OSError: EOVERFLOW for more than `most` bytes."""
    # Read, not stat: the file may grow meanwhile.
    chunks, left = [], most + 1
    while left and (chunk := os.read(fd, min(left, _CHUNK))):
        chunks.append(chunk)
        left -= len(chunk)
    if not left:
        raise OSError(errno.EOVERFLOW, f"larger than {most} bytes", os.fspath(path))
    return b"".join(chunks)


def _is_regular(path: str | os.PathLike[str]) -> bool:
    return stat.S_ISREG(Path(path).stat().st_mode)


def open_regular(
    path: str | os.PathLike[str],
    *,
    dir_fd: int | None = None,
    follow: bool = False,
    flags: int = 0,
    judge: Callable[[os.stat_result], None] | None = None,
) -> int:
    """A descriptor of a regular file to read from. Never waits, whatever lies there.

    A symlink is refused unless `follow`; `flags` are further ones of open(2); `judge` as in `read_small`. Raises
    OSError: EINVAL for what is no regular file, ELOOP for a symlink.
    """
    flags |= os.O_RDONLY | NONBLOCK | NOCTTY | CLOEXEC | (0 if follow else NOFOLLOW)
    fd = os.open(path, flags, dir_fd=dir_fd)
    try:
        found = os.fstat(fd)
        if judge is not None:
            judge(found)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_small_text(path: Path, most: int) -> str:
    """The result of `read_small`, as UTF-8 text. Raises OSError, and UnicodeDecodeError (a ValueError)."""
    return read_small(path, most).decode("utf-8")
