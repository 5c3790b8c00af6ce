"""A repo folder that an administrator moved to another disk and left a symlink for.

A symlink in a cache may have been planted by whoever may write there, to have files of ours replaced elsewhere. It is
followed only if nobody could have done that: the link and the folder that it leads to belong to root, to this user or
to the owner of the cache, it leads there without a second link, and nobody else may exchange a folder on the way. And
only to what is a repo folder: a link in an archive that was unpacked here may lead anywhere.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from orchestrator.errors import UnsafeError
from orchestrator.oserrors import user_name

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def refuse_foreign_link(folder: Path, cache_dir: Path) -> None:
    """Raise UnsafeError when the repo folder is a symlink that is not followed; fine when it does not exist."""
    try:
        link = os.lstat(folder)
    except OSError:
        return
    if not stat.S_ISLNK(link.st_mode):
        return
    why = _why_not(folder, link, cache_dir)
    if why:
        raise UnsafeError(
            f"{os.fspath(folder)!r} is a symlink, and {why}; nothing is read or written through it",
            hint="remove it, or let root or the owner of the cache make it; a bind mount does as well",
            file=os.fspath(folder),
        )


def _why_not(folder: Path, link: os.stat_result, cache_dir: Path) -> str | None:
    try:
        believed = {0, os.geteuid(), cache_dir.stat().st_uid}
        if link.st_uid not in believed:
            return f"{user_name(link.st_uid)} made it"
        target = Path(os.path.normpath(cache_dir / folder.readlink()))
        if os.path.realpath(target) != os.fspath(target):
            return f"{os.fspath(target)!r} is not the folder itself: there is a second link on the way"
        found = target.lstat()
        if not stat.S_ISDIR(found.st_mode):
            return f"{os.fspath(target)!r} is no folder"
        if found.st_uid not in believed:
            return f"{os.fspath(target)!r} belongs to {user_name(found.st_uid)}"
        if not ((target / "blobs").is_dir() or (target / "snapshots").is_dir()):
            return f"{os.fspath(target)!r} is no folder of a repo (it has no folder blobs or snapshots)"
        for above in target.parents:
            seen = above.lstat()
            is_open = seen.st_mode & _OTHERS_MAY_WRITE and not seen.st_mode & stat.S_ISVTX
            if is_open or seen.st_uid not in believed:
                return f"others may exchange what lies in {os.fspath(above)!r}"
    except OSError as error:
        return f"where it leads cannot be looked at ({error.strerror})"
    return None
