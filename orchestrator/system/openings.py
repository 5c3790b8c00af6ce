"""Openings of files by any process of this machine, as Linux tells them (inotify)."""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from pathlib import Path

from orchestrator.platform.libc import last_error, system_call
from orchestrator.platform.open_flags import CLOEXEC, NONBLOCK

_IN_OPEN = 0x20
_HEAD = struct.Struct("iIII")
_FLAGS = NONBLOCK | CLOEXEC


class Openings:
    """Tells which of the watched files were opened. For one thread; `fileno` is readable when `read` has news.

    An opening says only that somebody has come: who opens a file many times between two calls is told once.
    """

    def __init__(self) -> None:
        """Raise OSError where the system cannot tell, or grants this user no more of these."""
        begin, self._add = system_call("inotify_init1", "i"), system_call("inotify_add_watch", "isI")
        self._remove = system_call("inotify_rm_watch", "ii")
        if begin is None:
            raise OSError(errno.ENOSYS, "openings of files are told on Linux only")
        self._fd = _checked(begin(_FLAGS))

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self._fd

    def watch(self, path: Path) -> int:
        """Begin to watch a file; the number that it has in `read`. Raises OSError."""
        return _checked(self._add(self._fd, os.fsencode(path), _IN_OPEN)) if self._add else 0

    def forget(self, number: int) -> None:
        """Watch that file no more."""
        if self._remove:
            self._remove(self._fd, number)

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


def _checked(result: int) -> int:
    if result < 0:
        raise last_error()
    return result
