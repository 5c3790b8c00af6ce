"""Read small files that somebody else may have made: a FIFO, a device, an endless file, a link to elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

SETTINGS_BYTES = 1 << 20
"""At most so many bytes of settings, model lists and secrets."""
RECORD_BYTES = 64 << 20
"""At most so many bytes of listings, records and lock files: a million files fit."""
REF_BYTES = 256
"""At most so many bytes of a ref: a commit is 40."""


def read_small(path: str | os.PathLike[str], most: int, *, dir_fd: int | None = None, follow: bool = False) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Never waits for a writer of a FIFO and never reads a device. A symlink is refused unless `follow`; `path` is
    relative to the folder open at `dir_fd` when that is given. Raises OSError: EINVAL for what is no regular file,
    EOVERFLOW for a larger one, ELOOP for a symlink.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    fd = os.open(path, flags, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        # Read, not stat: the file may grow meanwhile.
        chunks, left = [], most + 1
        while left and (chunk := os.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
    finally:
        os.close(fd)
    if not left:
        raise OSError(errno.EOVERFLOW, f"larger than {most} bytes", os.fspath(path))
    return b"".join(chunks)


def read_small_text(path: Path, most: int, *, follow: bool = False) -> str:
    """The same as UTF-8 text. Raises OSError, and UnicodeDecodeError (a ValueError)."""
    return read_small(path, most, follow=follow).decode("utf-8")
