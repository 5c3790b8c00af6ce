"""A second name for proven bytes, in a folder of the user's: shared blocks, a copy, a hard link or a symlink."""

from __future__ import annotations

import errno
import os
from enum import StrEnum
from pathlib import Path

from orchestrator.disk.copying import clone, copy
from orchestrator.errors import CannotCreateError
from orchestrator.system.failures import on_disk, shown


class Mode(StrEnum):
    """How. Only with the first three does an edit of the new file leave the old one alone."""

    AUTO = "auto"  # blocks shared until one side is written, else a copy
    REFLINK = "reflink"  # blocks shared, or an error
    COPY = "copy"
    HARD = "hard"
    SYM = "sym"


def make(mode: Mode, source: Path, target: Path) -> Mode:
    """Make the new name `target` for the bytes of `source`, a path without symlinks; returns how: any but AUTO.

    Raises CannotCreateError where the file system cannot do it, NoSpaceError and its like; nothing is left then.
    """
    if mode is Mode.SYM:
        with on_disk("link", target):
            target.symlink_to(source)
        return mode
    if mode is Mode.HARD:
        with on_disk("link", target):
            try:
                os.link(source, target, follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                    raise
                raise CannotCreateError(
                    f"{os.fspath(source)!r} cannot be hard-linked to {_folder(target)!r}: {error.strerror}",
                    hint="hard links need one volume: leave --hard out for copies, or see --sym",
                    file=shown(str(target)),
                ) from error
        return mode
    if mode is Mode.COPY:
        copy(source, target)
        return mode
    if clone(source, target):
        return Mode.REFLINK
    if mode is Mode.REFLINK:
        raise CannotCreateError(
            f"the file system at {_folder(target)!r} cannot share the blocks of {os.fspath(source)!r}",
            hint="leave --reflink out for copies, or see --hard and --sym",
            file=shown(str(target)),
        )
    copy(source, target)
    return Mode.COPY


def _folder(target: Path) -> str:
    return shown(os.fspath(target.parent))
