"""Limits of this process, as getrlimit(2) has them: soft and hard; `UNLIMITED` where there is none."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    UNLIMITED = -1
else:
    import resource

    UNLIMITED = resource.RLIM_INFINITY


def open_files() -> tuple[int, int]:
    """Files and connections."""
    if sys.platform != "win32":
        return resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED, UNLIMITED


def set_open_files(soft: int, hard: int) -> None:
    """Set the limit of files and connections. Raises OSError and ValueError."""
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def processes() -> tuple[int, int]:
    """Processes and threads of this user."""
    if sys.platform != "win32":
        return resource.getrlimit(resource.RLIMIT_NPROC)
    return UNLIMITED, UNLIMITED


def file_size() -> tuple[int, int]:
    """Bytes of a file that is written."""
    if sys.platform != "win32":
        return resource.getrlimit(resource.RLIMIT_FSIZE)
    return UNLIMITED, UNLIMITED
