"""Reads and writes at a place of an open file, which many may do at once. All raise OSError."""

from __future__ import annotations

import os
import sys

from orchestrator.platform.lacking import lacks

_WHAT = "reads and writes at a place"


def read_at(fd: int, count: int, offset: int) -> bytes:
    """Read at most `count` bytes."""
    if sys.platform != "win32":
        return os.pread(fd, count, offset)
    raise lacks(_WHAT)


def read_into(fd: int, buffer: bytearray | memoryview, offset: int, flags: int = 0) -> int:
    """Fill the buffer as far as one read does; the count. `flags` as of preadv2(2)."""
    if sys.platform != "win32":
        return os.preadv(fd, [buffer], offset, flags)
    raise lacks(_WHAT)


def read_on_into(fd: int, buffer: bytearray | memoryview) -> int:
    """Fill the buffer from where the file stands, as far as one read does; the count."""
    if sys.platform != "win32":
        return os.readv(fd, [buffer])
    raise lacks(_WHAT)


def write_at(fd: int, data: bytes | memoryview, offset: int) -> int:
    """Write as much as one write does; the count."""
    if sys.platform != "win32":
        return os.pwrite(fd, data, offset)
    raise lacks(_WHAT)


def will_read_on(fd: int) -> None:
    """Tell the system that the file is read from its beginning to its end."""
    if sys.platform == "linux":
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
