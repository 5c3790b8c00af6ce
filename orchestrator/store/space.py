"""Whether a plan fits on a disk, asked before the first byte, since aria2 cannot resume after a full disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import NoSpaceError
from orchestrator.oserrors import on_disk

RESERVE = 256 << 20
"""Bytes left free for everybody else on the disk."""

INODES_PER_FILE = 4
"""A blob and its link, and while it arrives a control file and a journal."""


@dataclass(frozen=True, slots=True)
class Space:
    """What is free for this user: bytes, and inodes (None where the file system does not count them)."""

    free: int
    inodes: int | None


def space(path: Path) -> Space:
    """The room where `path` lies, or will lie once its folders are made."""
    at = path
    while not at.exists() and at != at.parent:
        at = at.parent
    with on_disk("look at", at):
        found = os.statvfs(at)
    return Space(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


def check(need: int, path: Path, *, files: int = 0, reserve: int = RESERVE) -> Space:
    """Raise NoSpaceError unless `need` bytes (beside `reserve`) in `files` new files fit where `path` lies."""
    room = space(path)
    if need and room.free < need + reserve:
        raise NoSpaceError(
            f"{human(need)} are needed at {os.fspath(path)!r}, of which {human(need + reserve - room.free)} are missing"
            f" ({human(room.free)} free, {human(reserve)} kept back)",
            hint="free space (glm-aria cache gc; glm-aria cache rm), or choose another disk with --cache-dir",
        )
    inodes = files * INODES_PER_FILE
    if room.inodes is not None and room.inodes < inodes:
        raise NoSpaceError(
            f"{inodes} inodes are needed at {os.fspath(path)!r} and {room.inodes} are free",
            hint="remove small files there, or choose another disk with --cache-dir",
        )
    return room


def human(size: int) -> str:
    """Bytes with a binary unit, `1.5 GiB`."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
