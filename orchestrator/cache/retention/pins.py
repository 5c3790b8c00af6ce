"""Models that must stay in the cache, by the pins of all users who share it.

`.locks/glm-aria-pins/<uid>.json` holds the pins of one user, `{"version": 1, "pins": ["org/name", "org/name@main"]}`.
It lies there because all who may write to the cache can write there, and scans of the cache pass over it. Each user
writes one file and reads all. In a folder that others may write to nobody can be kept from making or removing such a
file: the worst that comes of it is that a model stays, or that it may go.

A file that cannot be read is an error, never an empty list: nothing may be removed while nobody knows what is pinned.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import stat
from collections.abc import Iterable, Set
from pathlib import Path

from orchestrator.cache.census import CachedRepo
from orchestrator.cache.layout import CacheLayout
from orchestrator.core.refs import Target, parse_target
from orchestrator.disk.folders import Folder
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import UNREADABLE
from orchestrator.errors import CannotCreateError, DiskIOError, GlmAriaError, UnsafeError, UnsupportedError
from orchestrator.platform.files import set_mode
from orchestrator.platform.lacking import need_folders
from orchestrator.platform.users import login_id, user_name
from orchestrator.system.failures import on_disk
from orchestrator.system.processes import is_left_behind, scratch_name
from orchestrator.system.small_files import SETTINGS_BYTES, read_small

_FOLDER = "glm-aria-pins"
_NAME = re.compile(r"(\d{1,10})\.json")
_MOST_USERS = 1000
_VERSION = 1


class Pins:
    """The pins of one cache: of this user, who may change them, and of the others."""

    def __init__(self, layout: CacheLayout, state_dir: Path) -> None:
        self._cache_dir = layout.cache_dir
        self._folder = layout.locks_dir / _FOLDER
        self._lock = state_dir / "pins.lock"
        # Where a cache of one user had them, and where no other user saw them.
        self._old = state_dir / "pins.json"
        self._me = login_id()

    def load(self) -> frozenset[Target]:
        """All pins. Raises DiskIOError when those of some user cannot be read."""
        return frozenset().union(self.own(), *(self._read(path) for _, path in self._others()))

    def own(self) -> frozenset[Target]:
        """The pins of this user. Raises DiskIOError when they cannot be read."""
        return self._read(self._folder / f"{self._me}.json") | self._read(self._old)

    def of_others(self) -> dict[str, frozenset[Target]]:
        """Pins of other users, by their names; skips unreadable ones."""
        found: dict[str, frozenset[Target]] = {}
        with contextlib.suppress(GlmAriaError):
            for uid, path in self._others():
                with contextlib.suppress(GlmAriaError):
                    found[user_name(uid)] = self._read(path)
        return found

    def known(self) -> frozenset[Target]:
        """All pins that can be read: for showing them, not for removing by them."""
        own: frozenset[Target] = frozenset()
        with contextlib.suppress(GlmAriaError):
            own = self.own()
        return own.union(*self.of_others().values())

    def add(self, targets: Iterable[Target]) -> None:
        """Pin these, too. Raises CannotCreateError where this user may not write to the cache."""
        self._change(add=frozenset(targets))

    def remove(self, targets: Iterable[Target]) -> None:
        """Let go of these pins of this user. Fine when they are not pinned."""
        self._change(remove=frozenset(targets))

    def _others(self) -> list[tuple[int, Path]]:
        folder = self._find()
        if folder is None:
            return []
        with folder, on_disk("read", self._folder):
            names = folder.names()
        found = [(int(name.partition(".")[0]), self._folder / name) for name in names if _NAME.fullmatch(name)]
        if len(found) > _MOST_USERS:
            raise self._unreadable(self._folder, f"{len(found)} users have some, which is more than believable")
        return [(uid, path) for uid, path in found if uid != self._me]

    def _read(self, path: Path) -> frozenset[Target]:
        try:
            if path == self._old:
                data = read_small(path, SETTINGS_BYTES)
            else:
                folder = self._find()
                if folder is None:
                    return frozenset()
                with folder:
                    data = folder.read_small(path.name, SETTINGS_BYTES)
            return _targets(data)
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except UnsupportedError:
            raise
        except UNREADABLE as error:
            culprit = error.file if isinstance(error, GlmAriaError) and error.file else path
            raise self._unreadable(culprit, error) from error

    def _unreadable(self, path: Path | str, why: object) -> DiskIOError:
        return DiskIOError(
            f"the list of pinned models cannot be read ({why}); nothing was removed",
            hint=f"repair or remove {path}",
            file=str(path),
        )

    def _change(self, add: frozenset[Target] = frozenset(), remove: frozenset[Target] = frozenset()) -> None:
        path = self._folder / f"{self._me}.json"
        with on_disk("write", path), self._alone(), self._make() as folder:
            wanted = (self.own() | add) - remove
            if wanted != self._read(path):
                data = {"version": _VERSION, "pins": sorted(map(str, wanted))}
                self._write(path.name, json.dumps(data) + "\n", folder)
            self._old.unlink(missing_ok=True)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        # Without a state folder of one's own, the last of two writers wins.
        return state_lock(self._lock) if self._lock.parent.is_dir() else contextlib.nullcontext()

    def _write(self, name: str, text: str, folder: Folder) -> None:
        """Replace an entry of the open folder in one step; nothing that lies there is followed."""
        for left in folder.names():
            if is_left_behind(self._folder / left):
                with contextlib.suppress(OSError):
                    folder.unlink(left)
        temporary = scratch_name()
        fresh = folder.create(temporary, 0o644)
        try:
            with os.fdopen(fresh, "w") as file:
                file.write(text)
                file.flush()
                # The others read it, whatever this user's umask.
                set_mode(file.fileno(), 0o644)
                os.fsync(file.fileno())
            folder.replace(temporary, name, source_in=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                folder.unlink(temporary)
            raise

    def _find(self) -> Folder | None:
        """The folder, which is reached over no symlink below the cache; None when there is none."""
        with on_disk("open", self._folder):
            try:
                with Folder.open(self._cache_dir) as cache:
                    return cache.beneath(self._folder.relative_to(self._cache_dir))
            except FileNotFoundError:
                return None

    def _make(self) -> Folder:
        """The same, made when it is missing. A symlink is something that lies in the way of it (CannotCreateError)."""
        need_folders()
        made: list[Path] = []
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        with Folder.open(self._cache_dir) as cache:
            try:
                folder = cache.beneath(self._folder.relative_to(self._cache_dir), made)
            except UnsafeError as error:
                raise CannotCreateError(error.message, hint=error.hint, file=error.file) from error
            if self._folder.parent in made:
                # As open as the cache. Each user makes a file there, and has no business with those of the others.
                open_to = os.fstat(cache.fd).st_mode & 0o777
                keeps_group = os.fstat(folder.fd).st_mode & stat.S_ISGID
                os.chmod(".", keeps_group | open_to | stat.S_ISVTX, dir_fd=folder.fd)
        return folder


@functools.lru_cache(maxsize=8)
def _targets(data: bytes) -> frozenset[Target]:
    """The pins in a file, which a clean-up reads again for each repo. Raises any of UNREADABLE."""
    found = json.loads(data)
    if found["version"] != _VERSION:
        raise ValueError("of another version")
    return frozenset(parse_target(text) for text in found["pins"])


def is_named(targets: Set[Target], repo: CachedRepo, commit: str) -> bool:
    """True when one of `targets` means this revision: its whole repo, its commit, or a ref that stands for it now."""
    return any(Target(repo.repo, revision) in targets for revision in (None, commit, *repo.refs_of(commit)))
