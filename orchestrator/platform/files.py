"""Files and folders by descriptor, what they occupy, and what the file system beneath them can do."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.platform.lacking import lacks

if sys.platform != "win32":
    import fcntl

_FICLONE = 0x40049409  # linux/fs.h; Btrfs, XFS, bcachefs and others share the blocks until one side is written
_BLOCK = 512
"""Bytes that `st_blocks` counts by, whatever the file system's own are."""


@dataclass(frozen=True, slots=True)
class Volume:
    """Bytes and inodes that this user may still use (None where they are not counted), and whether it takes writes."""

    free: int
    inodes: int | None
    is_read_only: bool


def volume(path: str | os.PathLike[str]) -> Volume:
    """The file system that an existing path lies on. Raises OSError."""
    if sys.platform == "win32":
        import shutil

        return Volume(shutil.disk_usage(path).free, None, is_read_only=False)
    found = os.statvfs(path)
    inodes = found.f_favail if found.f_files else None
    return Volume(found.f_bavail * found.f_frsize, inodes, is_read_only=bool(found.f_flag & os.ST_RDONLY))


def device_number(device: int) -> str:
    """The device of a stat, as the tables of /proc have it."""
    if sys.platform != "win32":
        return f"{os.major(device)}:{os.minor(device)}"
    return str(device)


def occupied(found: os.stat_result) -> int:
    """Bytes that a file takes on the disk: fewer than its size where it has holes."""
    if sys.platform != "win32":
        return found.st_blocks * _BLOCK
    return found.st_size


def set_mode(fd: int, mode: int) -> None:
    """Set the mode of an open file or folder. Raises OSError."""
    if sys.platform != "win32":
        os.fchmod(fd, mode)


def walk(top: str, *, dir_fd: int, topdown: bool = True) -> Iterator[tuple[str, list[str], list[str], int]]:
    """Walk a tree below an open folder, as os.fwalk does. Raises OSError for one that is nested too deep for that."""
    if sys.platform == "win32":
        raise lacks("folders that stay open")
    try:
        yield from os.fwalk(top, topdown, dir_fd=dir_fd)
    except RecursionError as error:
        raise OSError(errno.ENAMETOOLONG, "folders are nested too deep", top) from error


def walk_paths(
    top: str | os.PathLike[str], onerror: Callable[[OSError], object] = lambda _error: None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a tree as os.walk does, from the top down, however deep it is.

    Python 3.11 calls itself for each folder on the way, and others may have made more of these than its stack takes.
    """
    left = [os.fspath(top)]
    while left:
        at = left.pop()
        folders: list[str] = []
        names: list[str] = []
        try:
            with os.scandir(at) as entries:
                for entry in entries:
                    (folders if _is_folder(entry) else names).append(entry.name)
        except OSError as error:
            onerror(error)
            continue
        yield at, folders, names
        below = (os.path.join(at, name) for name in reversed(folders))  # noqa: PTH118 - thousands of them
        left += (path for path in below if not os.path.islink(path))  # noqa: PTH114 - as above


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def sync_data(fd: int) -> None:
    """Return once the content of the open file is on the disk. Raises OSError."""
    if sys.platform == "linux":
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def share_blocks(source: int, target: int) -> None:
    """Have two open files share their blocks on the disk. Raises OSError where the file system cannot."""
    if sys.platform != "win32":
        fcntl.ioctl(target, _FICLONE, source)
    else:
        raise OSError(errno.ENOSYS, "blocks are not shared")


def copy_range(source: int, target: int, count: int) -> int:
    """Copy from one open file to another inside the kernel; the count, 0 at the end. Raises OSError where it cannot."""
    if sys.platform != "linux" or not hasattr(os, "copy_file_range"):
        raise OSError(errno.ENOSYS, "the kernel copies no files")
    return os.copy_file_range(source, target, count)
