"""Capacity of a disk: free space, largest file, write speed.

Asked before the first byte, since aria2 cannot resume after a full disk.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.sizes import format_size
from orchestrator.disk.places import nearest
from orchestrator.errors import CannotCreateError, NoSpaceError
from orchestrator.platform import rlimits
from orchestrator.platform.files import device_number, sync_data, volume
from orchestrator.system.failures import on_disk, shown

RESERVE = 256 << 20
"""Bytes left free for everybody else on the disk."""

INODES_PER_FILE = 4
"""A blob and its link, and while it arrives a control file and a journal."""

FAT_LARGEST = (4 << 30) - 1
"""Bytes: the size of a file is 32 bits there."""
_FAT = ("vfat", "msdos")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Space:
    """Free bytes and inodes for this user (None if the file system does not count inodes)."""

    free: int
    inodes: int | None


def space(path: Path) -> Space:
    """The room where `path` lies, or will lie once its folders are made."""
    at = nearest(path)
    with on_disk("look at", at):
        found = volume(at)
    return Space(found.free, found.inodes)


def check(need: int, path: Path, *, files: int = 0, reserve: int = RESERVE, flag: str = "--cache-dir") -> Space:
    """Raise NoSpaceError unless `need` bytes (beside `reserve`) in `files` new files fit where `path` lies.

    `flag` is the option that chooses the place.
    """
    room, where = space(path), shown(os.fspath(path))
    if need and room.free < need + reserve:
        raise NoSpaceError(
            f"{format_size(need)} are needed at {where!r}, and {format_size(reserve)} that must stay free:"
            f" {format_size(need + reserve - room.free)} are missing ({format_size(room.free)} are free)",
            hint=f"free space (glm-aria cache gc; glm-aria cache rm), or choose another disk with {flag}",
        )
    inodes = files * INODES_PER_FILE
    if room.inodes is not None and room.inodes < inodes:
        raise NoSpaceError(
            f"{inodes} inodes are needed at {where!r} and {room.inodes} are free",
            hint=f"remove small files there, or choose another disk with {flag}",
        )
    return room


def check_largest(size: int, path: Path) -> None:
    """Raise CannotCreateError where no file of `size` bytes may be made at `path`: FAT32, or `ulimit -f`."""
    allowed, _ = rlimits.file_size()
    if allowed != rlimits.UNLIMITED and size > allowed:
        raise CannotCreateError(
            f"{os.fspath(path)!r} cannot hold a file of {format_size(size)}: this process may write files of"
            f" up to {format_size(allowed)}",
            hint="raise the limit of file sizes: ulimit -f unlimited",
        )
    if size > FAT_LARGEST and file_system(nearest(path)) in _FAT:
        raise CannotCreateError(
            f"{os.fspath(path)!r} cannot hold a file of {format_size(size)}: it lies on FAT32, which holds files of"
            f" up to {format_size(FAT_LARGEST)}",
            hint="choose a folder on another file system, with --cache-dir or --local-dir",
        )


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The type of the file system that `path` lies on, as mount(8) names it; None where the system does not tell."""
    try:
        device = path.stat().st_dev
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    number = device_number(device)
    for line in lines:
        # id, parent, device, root, mount point, options, optional fields, "-", type, …
        fields = line.split(" ")
        if len(fields) > 6 and fields[2] == number and "-" in fields[6:-1]:
            return fields[fields.index("-", 6) + 1]
    return None


def write_rate(path: Path, *, most: int = 48 << 20, seconds: float = 1.0) -> float | None:
    """Bytes/s that the disk of `path` takes, with fsync; None where nothing can be written there.

    Measured with a file that has no name and is gone at once. `path` need not exist: the nearest folder above it is
    used. At most `most` bytes, half of what is free, and about `seconds` (a last fsync may take longer).
    """
    import tempfile  # with random and hashlib behind it, for the doctor only

    at = path
    while not at.is_dir() and at != at.parent:
        at = at.parent
    block = os.urandom(_BLOCK)
    try:
        room = min(most, space(at).free // 2)
        with tempfile.TemporaryFile(dir=at, buffering=0) as file:
            begun, sent = time.monotonic(), 0
            while sent + _BLOCK <= room and time.monotonic() - begun < seconds:
                sent += file.write(block)
                if sent % (8 * _BLOCK) == 0:
                    sync_data(file.fileno())
            os.fsync(file.fileno())
            return sent / max(time.monotonic() - begun, 1e-4) if sent else None
    except Exception:  # noqa: BLE001 - read-only, full, failing: all the same answer
        return None
