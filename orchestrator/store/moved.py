"""A repo folder that an administrator moved to another disk and left a symlink for.

A symlink in a cache may have been planted by whoever may write there, to have files of ours replaced elsewhere. It is
followed only if nobody could have done that: the link and the folder that it leads to belong to root, to this user or
to the owner of the cache, it leads there without a second link, and nobody else may exchange a folder on the way. And
only to what is a repo folder: a link in an archive that was unpacked here may lead anywhere.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePath

from orchestrator.core.refs import parse_folder
from orchestrator.errors import UnsafeError
from orchestrator.oserrors import on_disk, user_name
from orchestrator.system.folders import Folder

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class CacheFolder(Folder):
    """The cache's own folder, open. Below it a repo folder may be a symlink, by the rule of this module."""

    __slots__ = ()

    def beneath(self, inside: str | PurePath, made: list[Path] | None = None) -> Folder:
        """See `Folder.beneath`."""
        first, *rest = PurePath(inside).parts or (".",)
        target = _moved_to(self.path / first, self.path) if parse_folder(first) else None
        if target is None:
            return super().beneath(inside, made)
        # Nobody else can exchange a folder on the way there.
        with Folder(Folder.open(target).fd, self.path / first) as repo:
            return repo.beneath(PurePath(*rest), made)


def open_cache(cache_dir: Path) -> CacheFolder:
    """Open the cache's folder, made where it is missing. Raises what `oserrors` says."""
    with on_disk("create", cache_dir):
        cache_dir.mkdir(parents=True, exist_ok=True)
        return CacheFolder(Folder.open(cache_dir).fd, cache_dir)


def refuse_foreign_link(folder: Path, cache_dir: Path) -> None:
    """Raise UnsafeError when the repo folder is a symlink that is not followed; fine when it does not exist."""
    _moved_to(folder, cache_dir)


def _moved_to(folder: Path, cache_dir: Path) -> Path | None:
    """Where the repo folder lies that is a symlink; None when it is none, or does not exist."""
    try:
        link = os.lstat(folder)
    except OSError:
        return None
    if not stat.S_ISLNK(link.st_mode):
        return None
    target, why = _judge(folder, link, cache_dir)
    if why:
        raise UnsafeError(
            f"{os.fspath(folder)!r} is a symlink, and {why}; nothing is read or written through it",
            hint="remove it, or let root or the owner of the cache make it; a bind mount does as well",
            file=os.fspath(folder),
        )
    return target


def _judge(folder: Path, link: os.stat_result, cache_dir: Path) -> tuple[Path, str | None]:
    """Where the link leads, and why it is not followed."""
    try:
        target = Path(os.path.normpath(cache_dir / folder.readlink()))
    except OSError as error:
        return folder, f"where it leads cannot be looked at ({error.strerror})"
    return target, _why_not(target, link, cache_dir)


def _why_not(target: Path, link: os.stat_result, cache_dir: Path) -> str | None:
    try:
        believed = {0, os.geteuid(), cache_dir.stat().st_uid}
        if link.st_uid not in believed:
            return f"{user_name(link.st_uid)} made it"
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
