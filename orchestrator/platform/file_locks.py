"""Locks of open files, by flock(2), and of one byte of them, which end with the descriptor. All raise OSError."""

from __future__ import annotations

import os
import struct
import sys

from orchestrator.platform.lacking import lacks

if sys.platform != "win32":
    import fcntl

_WHAT = "locks of files"


def lock(fd: int, *, shared: bool = False, at_once: bool = False) -> None:
    """Lock the open file. Waits, unless `at_once`: BlockingIOError then, or another OSError."""
    if sys.platform != "win32":
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (fcntl.LOCK_NB if at_once else 0))
    else:
        raise lacks(_WHAT)


def lock_byte(fd: int, offset: int, *, lock: bool) -> None:
    """Lock one byte for the open file, at once, or let go of it. BlockingIOError or PermissionError: it is taken."""
    if sys.platform == "win32":
        raise lacks(_WHAT)
    elif hasattr(fcntl, "F_OFD_SETLK"):  # noqa: RET506 - so mypy passes over it on Windows
        # Belongs to the descriptor, so two instances in one process exclude each other too. struct flock:
        # l_type, l_whence, l_start, l_len, l_pid (0 here); native sizes and padding.
        kind = fcntl.F_WRLCK if lock else fcntl.F_UNLCK
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, offset, 1, 0))
    else:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB if lock else fcntl.LOCK_UN, 1, offset)
