"""A second name for the same bytes: shared disk blocks, a copy, a hard link or a symlink."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from orchestrator.errors import CannotCreateError
from orchestrator.platform.files import copy_range, share_blocks
from orchestrator.platform.open_flags import CLOEXEC
from orchestrator.system.failures import on_disk, shown
from orchestrator.system.small_files import open_regular

_CHUNK = 1 << 26


class Mode(StrEnum):
    """The way to copy. Only with the first three does an edit of the new file leave the old one alone."""

    AUTO = "auto"  # blocks shared until one side is written, else a copy
    REFLINK = "reflink"  # blocks shared, or an error
    COPY = "copy"
    HARD = "hard"
    SYM = "sym"
    SHARE = "share"  # blocks shared until one side is written, else a hard link, else a copy


def make(mode: Mode, source: Path, target: Path) -> Mode:
    """Make the new name `target` for the bytes of `source`, a path without symlinks; returns how.

    Never AUTO or SHARE, which leave it to the file system. `target` must not exist; nothing is left of it on failure.
    Raises CannotCreateError where the file system cannot do it, NoSpaceError and its like; DiskIOError when the source
    of a copy is no regular file.
    """
    match mode:
        case Mode.AUTO:
            return Mode.REFLINK if clone_or_copy(source, target) else Mode.COPY
        case Mode.SHARE:
            if _clone(source, target):
                return Mode.REFLINK
            with contextlib.suppress(CannotCreateError):
                _hard_link(source, target)
                return Mode.HARD
            _copy(source, target)
            return Mode.COPY
        case Mode.REFLINK:
            if not _clone(source, target):
                raise CannotCreateError(
                    f"the file system at {_folder(target)!r} cannot share the blocks of {os.fspath(source)!r}",
                    hint="to copy instead, leave out --reflink; or see --hard and --sym",
                    file=shown(str(target)),
                )
        case Mode.COPY:
            _copy(source, target)
        case Mode.HARD:
            _hard_link(source, target)
        case Mode.SYM:
            with on_disk("link", target):
                target.symlink_to(source)
    return mode


def clone_or_copy(source: Path, target: Path) -> bool:
    """Make the new file `target` hold the bytes of `source`; True when they share their blocks on disk.

    As `make` with AUTO, but `source` may lead over symlinks.
    """
    if _clone(source, target):
        return True
    _copy(source, target)
    return False


def _hard_link(source: Path, target: Path) -> None:
    with on_disk("link", target):
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            raise CannotCreateError(
                f"{os.fspath(source)!r} cannot be hard-linked to {_folder(target)!r}: {error.strerror}",
                hint="hard links need one volume; to copy instead, leave out --hard; or see --sym",
                file=shown(str(target)),
            ) from error


def _folder(target: Path) -> str:
    return shown(os.fspath(target.parent))


def _clone(source: Path, target: Path) -> bool:
    """Share the blocks; False, with nothing made, where the file system cannot."""
    with _both(source, target) as (reading, writing):
        try:
            share_blocks(reading, writing)
        except OSError:
            target.unlink()
            return False
        return True


def _copy(source: Path, target: Path) -> None:
    with _both(source, target) as (reading, writing):
        try:
            while copy_range(reading, writing, _CHUNK):
                pass
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            os.lseek(reading, 0, os.SEEK_SET)
            os.ftruncate(writing, 0)
            os.lseek(writing, 0, os.SEEK_SET)
            with os.fdopen(os.dup(writing), "wb", buffering=0) as file:
                while data := os.read(reading, 1 << 20):
                    file.write(data)


@contextlib.contextmanager
def _both(source: Path, target: Path) -> Iterator[tuple[int, int]]:
    """Descriptors of the two; what fails inside removes the target."""
    with on_disk("copy to", target):
        reading = open_regular(source, follow=True)
        try:
            writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOEXEC, 0o666)
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
