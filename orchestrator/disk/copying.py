"""A second file with the same bytes: sharing the disk blocks where the file system can, else copied."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import open_regular

_FICLONE = 0x40049409  # linux/fs.h; Btrfs, XFS, bcachefs and others share the blocks until one side is written
_CHUNK = 1 << 26


def clone_or_copy(source: Path, target: Path) -> bool:
    """Make the new file `target` hold the bytes of `source`; True when they share their blocks on disk.

    `target` must not exist and is removed again on failure. Raises NoSpaceError and its like; DiskIOError when the
    source is no regular file.
    """
    if clone(source, target):
        return True
    copy(source, target)
    return False


def clone(source: Path, target: Path) -> bool:
    """As `clone_or_copy`, but False, with nothing made, where the file system cannot share the blocks."""
    with _both(source, target) as (reading, writing):
        if _clone(reading, writing):
            return True
        target.unlink()
        return False


def copy(source: Path, target: Path) -> None:
    """As `clone_or_copy`, without a try to share blocks."""
    with _both(source, target) as (reading, writing):
        _copy(reading, writing)


@contextlib.contextmanager
def _both(source: Path, target: Path) -> Iterator[tuple[int, int]]:
    """Descriptors of the two; what fails inside removes the target."""
    with on_disk("copy to", target):
        reading = open_regular(source, follow=True)
        try:
            writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                yield reading, writing
            except BaseException:
                with contextlib.suppress(OSError):
                    target.unlink()
                raise
            finally:
                os.close(writing)
        finally:
            os.close(reading)


def _clone(reading: int, writing: int) -> bool:
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError:
        return False
    return True


def _copy(reading: int, writing: int) -> None:
    try:
        while os.copy_file_range(reading, writing, _CHUNK):
            pass
    except (AttributeError, OSError) as error:
        if getattr(error, "errno", errno.ENOSYS) in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        os.lseek(reading, 0, os.SEEK_SET)
        os.ftruncate(writing, 0)
        os.lseek(writing, 0, os.SEEK_SET)
        with os.fdopen(os.dup(writing), "wb", buffering=0) as file:
            while data := os.read(reading, 1 << 20):
                file.write(data)
