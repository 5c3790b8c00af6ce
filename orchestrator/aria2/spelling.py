"""Spelling of a folder for aria2, which accepts only UTF-8.

A path on Linux is bytes. Python keeps those that are no UTF-8 apart, as half a surrogate pair each; in JSON aria2 takes
them for characters, makes a folder of another name, and writes there.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from orchestrator.errors import CannotCreateError
from orchestrator.platform.open_flags import CLOEXEC, DIRECTORY


def is_told(folder: Path) -> bool:
    """True when aria2 can be told the path as it is."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        return False
    return True


@cache
def spelled(folder: Path) -> str:
    """A path by which an aria2c of ours, beside this process, gets to `folder`: the folder's own where it is UTF-8.

    Else one by a descriptor that stays open as long as this process lives. Raises CannotCreateError where the system
    has no such paths, and OSError.
    """
    if is_told(folder):
        return str(folder)
    if not Path("/proc/self/fd").is_dir():
        raise untold(folder)
    opened = os.open(folder, os.O_RDONLY | DIRECTORY | CLOEXEC)
    return f"/proc/{os.getpid()}/fd/{opened}"


def untold(folder: Path) -> CannotCreateError:
    """The error for a folder that the aria2 in use cannot be told."""
    return CannotCreateError(
        f"{str(folder)!r} cannot be passed to this aria2: the path is not UTF-8",
        hint="leave out --rpc and stop the background aria2c (glm-aria daemon stop), or use another --cache-dir",
    )
