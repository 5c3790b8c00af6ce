"""Making writes survive a power loss, at a price that fits the number of files.

One fsync costs a journal commit, so thousands of them cost seconds; one `syncfs` writes everything that the file
system holds dirty, which is dear for one file while a big one still arrives beside it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from orchestrator.disk.folders import Folder
from orchestrator.platform.libc import system_call
from orchestrator.platform.open_flags import CLOEXEC, DIRECTORY, NOFOLLOW
from orchestrator.system.failures import on_disk

MANY = 32
"""From this many files on, one syncfs instead of an fsync each."""

_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h
_WINDOW = 64 << 20


def sync_files(paths: Sequence[Path]) -> None:
    """Return once the content of all `paths`, which share one file system, is on the disk. Raises DiskIOError."""
    if len(paths) >= MANY and _sync_file_system(paths[0].parent):
        return
    for path in paths:
        _fsync(path, os.O_RDONLY)


def sync_folders(root: Folder, folders: Iterable[Path]) -> None:
    """Return once the names in all `folders`, which lie at or below `root`, are on the disk.

    One that is gone again needs nothing. Raises DiskIOError, UnsafeError for a symlink on the way.
    """
    once = sorted(set(folders))
    if len(once) >= MANY and all(map(_sync_file_system, root.volumes)):
        return
    for folder in once:
        inside = folder.relative_to(root.path)
        with on_disk("sync", folder), contextlib.suppress(FileNotFoundError), root.beneath(inside) as opened:
            opened.sync()


def sync_names(folder: Path) -> None:
    """Return once the names in one folder are on the disk. Raises DiskIOError."""
    _fsync(folder, os.O_RDONLY | DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    with on_disk("sync", path):
        fd = os.open(path, flags | CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _sync_file_system(folder: Path) -> bool:
    """True when all that the file system of `folder` held dirty is on the disk; False when there is no way to tell."""
    syncfs = _syncfs()
    if syncfs is None:
        return False
    with on_disk("sync", folder):
        fd = os.open(folder, os.O_RDONLY | DIRECTORY | CLOEXEC)
        try:
            return syncfs(fd) == 0
        finally:
            os.close(fd)


def start_writing(path: Path, stop: Callable[[], bool]) -> None:
    """Have the kernel begin to write what is dirty of the file, so that a sync later has little to wait for.

    A slow disk may hold this up for as long as writing `_WINDOW` takes it; then it looks at `stop`. Where it cannot be
    done nothing happens: the sync will write it.
    """
    sync_file_range = system_call("sync_file_range", "iLLI")
    if sync_file_range is None:
        return
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | NOFOLLOW | CLOEXEC)
        try:
            for start in range(0, os.fstat(fd).st_size, _WINDOW):
                if stop():
                    break
                sync_file_range(fd, start, _WINDOW, _SYNC_FILE_RANGE_WRITE)
        finally:
            os.close(fd)


def _syncfs() -> Callable[[int], int] | None:
    return system_call("syncfs", "i")
