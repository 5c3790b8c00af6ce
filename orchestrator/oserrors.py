"""The one place where an OSError of the store becomes an error of ours.

`with on_disk("place", path):` around system calls; the message names the file that the system named, else `path`.
"""

from __future__ import annotations

import errno
import os
from types import TracebackType

from orchestrator.errors import CannotCreateError, DiskIOError, GlmAriaError, NoSpaceError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EROFS, errno.EACCES, errno.EPERM}
_IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG}


def translate(error: OSError, action: str, path: str | os.PathLike[str]) -> GlmAriaError:
    """The error of ours for `error`, which happened while we wanted to `action` (a verb) the file `path`.

    Full disk or quota: NoSpaceError. Read-only, no permission, something in the way: CannotCreateError. All else,
    such as EIO and EMFILE: DiskIOError.
    """
    # Of a rename or link, the target tells more.
    named = next((name for name in (error.filename2, error.filename) if name is not None), path)
    name = os.fsdecode(named) if isinstance(named, (str, bytes, os.PathLike)) else os.fspath(path)
    what = f"cannot {action} {name!r}: {error.strerror or error}"
    if error.errno in _FULL:
        return NoSpaceError(what, hint="free space on that disk (or raise the quota), then run it again", file=name)
    if error.errno in _DENIED:
        hint = "check the owner and the mode of that folder, or choose another with --cache-dir"
        return CannotCreateError(what, hint=hint, file=name)
    if error.errno in _IN_THE_WAY:
        return CannotCreateError(what, hint="something else lies there: move it away, then run it again", file=name)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return DiskIOError(what, hint="raise the limit of open files: ulimit -n 4096", file=name)
    return DiskIOError(what, hint="check the disk (dmesg tells), then run it again", file=name)


class on_disk:  # noqa: N801 - reads as a statement: `with on_disk("read", path):`
    """Translate an OSError that leaves the block. A class, since a generator would cost twice as much per file."""

    __slots__ = ("_action", "_path")

    def __init__(self, action: str, path: str | os.PathLike[str]) -> None:
        self._action = action
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise translate(error, self._action, self._path) from error
