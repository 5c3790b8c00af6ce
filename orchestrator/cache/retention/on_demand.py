"""Revisions that a server brought because clients asked for them, each with its last use there.

`on-demand/<folder>/<commit>` in our state is an empty file whose mtime is the last use, 0 for what was fetched before
anybody asked for it. Nobody but the server's clients ever asked for such a revision: a server may let go of it to make
room. What somebody pulls is on the list no more.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.core.refs import RepoId, is_commit, parse_folder

_STEP = 60.0
"""Seconds between two notes of a use: no request costs a write."""

Revision = tuple[str, str]
"""The folder of a repo in the cache, and a commit."""


class OnDemand:
    """The list of one cache. Thread-safe. That it cannot be written is no error: what is not on it stays."""

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = state_dir / "on-demand"
        self._clock = clock
        self._guard = threading.Lock()
        self._noted: dict[Revision, float] = {}

    def came(self, repo: RepoId, commit: str, *, is_guess: bool = False) -> None:
        """Put a revision on the list, as one that nobody has used yet if it is a guess. To be called before its first
        file is placed."""
        path = self._path(repo.folder, commit)
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            if is_guess:
                os.utime(path, (0, 0))

    def used(self, repo: RepoId, commit: str) -> None:
        """Note that a file of a revision is read now, if it is on the list."""
        key, now = (repo.folder, commit), self._clock()
        with self._guard:
            if abs(now - self._noted.get(key, 0.0)) < _STEP:
                return
            self._noted[key] = now
        with contextlib.suppress(OSError):
            os.utime(self._path(*key), (now, now))

    def lent(self, folder: str) -> None:
        """Note that a blob of a repo is read now for another one: for all its revisions on the list."""
        now = self._clock()
        with self._guard:
            if abs(now - self._noted.get((folder, ""), 0.0)) < _STEP:
                return
            self._noted[folder, ""] = now
        for path in (self._folder / folder).glob("*"):
            with contextlib.suppress(OSError):
                os.utime(path, (now, now))

    def uses(self) -> dict[Revision, float]:
        """The list, with the last use of each in unix seconds."""
        found: dict[Revision, float] = {}
        for path in self._folder.glob("*/*"):
            if is_commit(path.name) and parse_folder(path.parent.name) is not None:
                with contextlib.suppress(OSError):
                    found[path.parent.name, path.name] = path.stat().st_mtime
        with self._guard:
            return {key: max(use, self._noted.get(key, 0.0)) for key, use in found.items()}

    def drop(self, folder: str, commit: str) -> None:
        """Take a revision off the list: somebody wants to have it, or it is in the cache no more."""
        with contextlib.suppress(OSError):
            self._path(folder, commit).unlink(missing_ok=True)
            self._folder.joinpath(folder).rmdir()

    def _path(self, folder: str, commit: str) -> Path:
        return self._folder / folder / commit
