"""Which process made a file, written so that any later run can tell whether that process still lives.

Host, pid and start time: a pid alone is given to another process some day.
"""

from __future__ import annotations

import functools
import os
import re
import time
import zlib
from pathlib import Path

FOREIGN_AGE = 3600.0
"""Seconds after which a scratch file of another host, about whose processes nothing is known, counts as left behind."""
_SCRATCH = re.compile(r"scratch-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<since>\d*)-[0-9a-f]{16}")


def me() -> tuple[str, int, str]:
    """This process: host, pid, start time."""
    return os.uname().nodename, os.getpid(), started(os.getpid())


def started(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty where there is no /proc, "zombie" for one that ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return "zombie" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""


def lives(pid: int, since: str) -> bool:
    """True while the process of this host that started then runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return started(pid) == since


def age(path: Path) -> float:
    """Seconds since the last write; infinite when there is no file. A clock that is ahead counts as no age."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return float("inf")


def scratch_name() -> str:
    """A fresh name for a file that is not ready yet, which says whose it is."""
    return f"scratch-{_mine(os.getpid())}-{os.urandom(8).hex()}"


def is_left_behind(path: Path) -> bool:
    """True when `path` has a name that `scratch_name` made, and its maker has ended (on another host: the file is old).

    Nothing else is: it may lie in a folder of the user's own.
    """
    found = _SCRATCH.fullmatch(path.name)
    if found is None:
        return False
    if found["host"] == _host():
        return not lives(int(found["pid"]), found["since"])
    return age(path) > FOREIGN_AGE


@functools.cache
def _mine(pid: int) -> str:
    return f"{_host()}-{pid}-{started(pid)}"


@functools.cache
def _host() -> str:
    """The host's name in a form that fits into a file name."""
    return f"{zlib.crc32(os.uname().nodename.encode()):08x}"
