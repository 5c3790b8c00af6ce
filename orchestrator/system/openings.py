"""Openings of files by any process of this machine, as Linux tells them (inotify)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path

_IN_OPEN = 0x20
_HEAD = struct.Struct("iIII")
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class Openings:
    """Tells which of the watched files were opened. For one thread; `fileno` is readable when `read` has news.

    An opening says only that somebody has come: who opens a file many times between two calls is told once.
    """

    def __init__(self) -> None:
        """Raise OSError where the system cannot tell, or grants this user no more of these."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not sys.platform.startswith("linux"):
            raise OSError(errno.ENOSYS, "openings of files are told on Linux only")
        self._fd = self._checked(self._libc.inotify_init1(_FLAGS))

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self._fd

    def watch(self, path: Path) -> int:
        """Begin to watch a file; the number that it has in `read`. Raises OSError."""
        return self._checked(self._libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_OPEN))

    def forget(self, number: int) -> None:
        """Watch that file no more."""
        self._libc.inotify_rm_watch(self._fd, number)

    def read(self) -> set[int]:
        """The numbers of the files that were opened since the last call; does not wait."""
        found = set()
        with suppress(BlockingIOError):
            while data := os.read(self._fd, 4096):
                at = 0
                while at < len(data):
                    number, mask, _, length = _HEAD.unpack_from(data, at)
                    at += _HEAD.size + length
                    if mask & _IN_OPEN:
                        found.add(number)
        return found

    def close(self) -> None:
        """Watch nothing any more."""
        os.close(self._fd)

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
