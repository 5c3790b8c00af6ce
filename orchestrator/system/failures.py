"""The one place where an OSError of the disk becomes an error of ours.

`with on_disk("place", path):` around system calls; the message names the file that the system named, else `path`.
"""

# Strings: what the system named may be no valid text, and the folders above it are walked.
# ruff: noqa: PTH100, PTH112, PTH120
from __future__ import annotations

import errno
import os
import re
import shlex
import stat
from pathlib import Path
from types import TracebackType

from orchestrator.errors import CannotCreateError, DiskIOError, GlmAriaError, NoSpaceError
from orchestrator.platform.files import volume
from orchestrator.platform.users import user_id, user_name

FILES_HINT = "raise the limit of open files: ulimit -n 4096 (docker run --ulimit nofile=4096)"
_HELD = re.compile(r"/proc/(?:\d+|self)/fd/\d+(?=/|$)")
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EROFS, errno.EACCES, errno.EPERM}
_ELSEWHERE = "choose another folder, as with --cache-dir or --local-dir"
_IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ELOOP}


def translate(error: OSError, action: str, path: str | os.PathLike[str]) -> GlmAriaError:
    """The error of ours for `error`, which happened while we wanted to `action` (a verb) the file `path`.

    Full disk or quota: NoSpaceError. Read-only, no permission, something in the way, a file larger than the file system
    takes: CannotCreateError. All else, such as EIO and EMFILE: DiskIOError.
    """
    # Of a rename or link, the target tells more.
    named = next((name for name in (error.filename2, error.filename) if name is not None), path)
    name = os.fsdecode(named) if isinstance(named, (str, bytes, os.PathLike)) else os.fspath(path)
    if not name.startswith("/") and Path(path).is_absolute():
        name = os.fspath(path)  # a call that was given an open folder knows the last part only
    name = shown(name)
    what = f"cannot {action} {name!r}: {error.strerror or error}"
    if error.errno in _FULL:
        return NoSpaceError(what, hint="free space on that disk (or raise the quota), then run it again", file=name)
    if error.errno in _DENIED:
        return CannotCreateError(what, hint=mending(name), file=name)
    if error.errno in _IN_THE_WAY:
        return CannotCreateError(what, hint="something else is there: move it away, then run it again", file=name)
    if error.errno == errno.EFBIG:
        hint = "FAT32 holds files of up to 4 GiB, and ulimit -f may allow less: choose a folder on another file system"
        return CannotCreateError(what, hint=hint, file=name)
    if error.errno == errno.ENAMETOOLONG:
        hint = (
            "a file system allows 255 bytes for a name, a few thousand for a path: choose a folder nearer to the root"
        )
        return CannotCreateError(what, hint=hint, file=name)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return DiskIOError(what, hint=FILES_HINT, file=name)
    return DiskIOError(what, hint="check the disk (see dmesg), then run it again", file=name)


def denied(path: str | os.PathLike[str]) -> str:
    """The path that forbids us to make, change or remove `path`: mostly a folder above it.

    A name is made and removed by right of the folder that it lies in, so a file that we may write to is not to blame.
    """
    at = os.path.abspath(path)
    while not os.path.lexists(at) and os.path.dirname(at) != at:
        at = os.path.dirname(at)
    if not os.path.isdir(at) and os.access(at, os.R_OK | os.W_OK, follow_symlinks=False):
        return os.path.dirname(at)
    return at


def is_closed(path: str | os.PathLike[str]) -> bool:
    """True when this user may not make or change `path`, whatever a single system call said."""
    return not os.access(denied(path), os.W_OK)


def mending(path: str | os.PathLike[str], otherwise: str = _ELSEWHERE) -> str:
    """The hint for a denied `path`: which folder it is, its owner, and the command that changes that.

    Only what lies in a folder of ours is ours to take, as after one `sudo`; all else is somebody's.
    """
    at = denied(path)
    if is_read_only(at):
        return f"{at} is on a read-only file system: mount it to be written to, or {otherwise}"
    try:
        found = os.lstat(at)
    except OSError:
        return f"check the owner and the mode of that folder, or {otherwise}"
    whose = f"{at} belongs to {user_name(found.st_uid)} (mode {stat.S_IMODE(found.st_mode):o})"
    me = user_id()
    if found.st_uid == me:
        return f"{whose}: chmod u+rwx {shlex.quote(at)}, or {otherwise}"
    if _owner(os.path.dirname(at)) == me:
        return f"{whose}: sudo chown -R {user_name(me)} {shlex.quote(at)}, or {otherwise}"
    return f"{whose}: {otherwise}, or ask {user_name(found.st_uid)} for the right to write there"


def _owner(path: str) -> int | None:
    try:
        return os.lstat(path).st_uid
    except OSError:
        return None


def is_read_only(path: str | os.PathLike[str]) -> bool:
    """Is `path` on a file system that takes no writes?"""
    try:
        return volume(path).is_read_only
    except OSError:
        return False


def shown(name: str) -> str:
    """The name that people know: for a folder that is held by descriptor (`disk.folders`), where it lies."""
    held = _HELD.match(name)
    if held is None:
        return name
    try:
        return os.readlink(held[0]) + name[held.end() :]  # noqa: PTH115 - a link of /proc is no path
    except OSError:
        return name


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
