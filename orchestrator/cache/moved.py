"""A repo folder that an administrator moved to another disk and left a symlink for.

A symlink in a cache may have been planted by another user who may write there, to make us replace our files elsewhere.
It is followed only if nobody could have done that: the link and the folder that it leads to belong to root, to this
user or to the owner of the cache, it leads there without a second link, and nobody else may exchange a folder on the
way. And only to what is a repo folder: a link in an archive that was unpacked here may lead anywhere.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path, PurePath

from orchestrator.core.refs import parse_folder
from orchestrator.disk.access import KEEPS_NAMES, belongs_to_others
from orchestrator.disk.atomic import sweep_scratch
from orchestrator.disk.folders import Folder
from orchestrator.errors import CannotCreateError, UnsafeError
from orchestrator.platform.open_flags import CLOEXEC, HAS_PATH, NOFOLLOW, REACH
from orchestrator.platform.users import user_name
from orchestrator.system.failures import on_disk

ASIDE = ".glm-aria"
"""The folder of a moved repo in which names are made that are then renamed within the repo; readers pass it over."""


class CacheFolder(Folder):
    """The cache's own folder, open. Below it a repo folder may be a symlink, by the rule of this module.

    The folder that such a link leads to stays open: exchanging the link later changes nothing.
    """

    __slots__ = ("_asides", "_moved")

    def __init__(self, fd: int, path: Path) -> None:
        super().__init__(fd, path)
        self._moved: dict[str, Folder] = {}
        self._asides: dict[str, Folder] = {}

    def close(self) -> None:
        """See `Folder.close`."""
        for opened in (self._moved, self._asides):
            while opened:
                opened.popitem()[1].close()
        super().close()

    def beneath(self, inside: str | PurePath, made: list[Path] | None = None) -> Folder:
        """See `Folder.beneath`."""
        first, *rest = PurePath(inside).parts or (".",)
        if first not in self._moved:
            target = _moved_to(self.path / first, self.path) if parse_folder(first) else None
            if target is None:
                return super().beneath(inside, made)
            # Nobody else can exchange a folder on the way there.
            self._moved[first] = Folder(Folder.open(target).fd, self.path / first)
        return self._moved[first].beneath(PurePath(*rest), made)

    @property
    def volumes(self) -> tuple[Path, ...]:
        """See `Folder.volumes`."""
        return (self.held, *(repo.held for repo in self._moved.values()))

    def is_moved(self, repo: str) -> bool:
        """True when the repo folder, which `beneath` has opened, is a symlink."""
        return repo in self._moved

    def aside(self, repo: str) -> Path | None:
        """A folder for new names, later renamed into the moved repo that `beneath` opened; None for others.

        None, too, if this user may not make it: a reader of the repo writes no names. The path is good until
        `close`. What killed runs left there is removed. Raises per `system.failures`.
        """
        if repo not in self._moved:
            return None
        if repo not in self._asides:
            try:
                with on_disk("create", self.path / repo / ASIDE):
                    self._asides[repo] = self._moved[repo].beneath(ASIDE, [])
            except CannotCreateError:
                return None
            sweep_scratch(self._asides[repo].held)
        return self._asides[repo].held

    def sweep_aside(self, repo: str) -> None:
        """Remove what killed runs left in a moved repo."""
        if repo in self._moved:
            with contextlib.suppress(OSError, UnsafeError), self._moved[repo].beneath(ASIDE) as aside:
                sweep_scratch(aside.held)


def open_cache_folder(cache_dir: Path) -> CacheFolder:
    """Open the cache's folder, made where it is missing. Raises per `system.failures`."""
    with on_disk("create", cache_dir):
        cache_dir.mkdir(parents=True, exist_ok=True)
        return CacheFolder(Folder.open(cache_dir).fd, cache_dir)


def is_on_another_volume(folder: Path, cache_dir: Path) -> bool:
    """True when the repo folder is a symlink, and what is placed there is copied to another volume."""
    try:
        return folder.is_symlink() and folder.stat().st_dev != cache_dir.stat().st_dev
    except OSError:  # gone meanwhile
        return False


def refuse_foreign_link(folder: Path, cache_dir: Path) -> None:
    """Raise UnsafeError when the repo folder is a symlink that is not followed; fine when it does not exist."""
    _moved_to(folder, cache_dir)


def _moved_to(folder: Path, cache_dir: Path) -> Path | None:
    """The target of a repo folder that is a symlink; None if it is not, or does not exist."""
    try:
        link = os.lstat(folder)
    except OSError:
        return None
    if not stat.S_ISLNK(link.st_mode):
        return None
    target, why = _judge(folder, cache_dir)
    if why:
        raise UnsafeError(
            f"{os.fspath(folder)!r} is a symlink, and {why}; nothing is read or written through it",
            hint="remove it, or let root or the owner of the cache make it; a bind mount works as well",
            file=os.fspath(folder),
        )
    return target


def _judge(folder: Path, cache_dir: Path) -> tuple[Path, str | None]:
    """The target of the link, and the reason not to follow it."""
    try:
        link, text = _read_link(folder)
    except OSError as error:
        return folder, f"where it leads cannot be looked at ({error.strerror})"
    target = Path(os.path.normpath(cache_dir / text))
    return target, _why_not(target, link, cache_dir)


def _read_link(folder: Path) -> tuple[os.stat_result, str]:
    """The stat and the text of one and the same symlink, where the system has descriptors of links."""
    if not HAS_PATH:
        return os.lstat(folder), os.fspath(folder.readlink())
    fd = os.open(folder, REACH | NOFOLLOW | CLOEXEC)
    try:
        return os.fstat(fd), os.readlink("", dir_fd=fd)
    finally:
        os.close(fd)


def _why_not(target: Path, link: os.stat_result, cache_dir: Path) -> str | None:
    try:
        owner = (cache_dir.stat().st_uid,)
        if belongs_to_others(link, owner):
            return f"{user_name(link.st_uid)} made it"
        if os.path.realpath(target) != os.fspath(target):
            return f"{os.fspath(target)!r} is not the folder itself: there is a second link on the way"
        found = target.lstat()
        if not stat.S_ISDIR(found.st_mode):
            return f"{os.fspath(target)!r} is no folder"
        if belongs_to_others(found, owner):
            return f"{os.fspath(target)!r} belongs to {user_name(found.st_uid)}"
        if not ((target / "blobs").is_dir() or (target / "snapshots").is_dir()):
            return f"{os.fspath(target)!r} is no folder of a repo (it has no folder blobs or snapshots)"
        for above in target.parents:
            if not KEEPS_NAMES.holds(above.lstat(), owner):
                return f"others may exchange the content of {os.fspath(above)!r}"
    except OSError as error:
        return f"where it leads cannot be looked at ({error.strerror})"
    return None
