"""Who works with a repo of the cache right now, so that nobody removes what a running pull counts on.

A pull holds a shared lock on `use/<folder>.lock` from its first look at a repo until its end; whoever removes from the
repo needs the lock for itself, and never waits for it. The kernel drops a lock with its holder, so a killed run blocks
nobody. Where locks do not exclude, what is young is kept anyway (see `garbage`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.disk.locks import lock_alone
from orchestrator.system.failures import on_disk


class Use:
    """The repos that a run holds. A context manager: leaving it lets go of all of them."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "use"
        self._held: dict[str, int | None] = {}

    def __enter__(self) -> Use:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._held.values():
            if fd is not None:
                os.close(fd)
        self._held.clear()

    def hold(self, folders: Iterable[str]) -> bool:
        """Hold these repo folders, too; True when one was not held before: what was seen of it may be gone by now.

        Waits while somebody removes from one, which takes moments. Where no lock can be made, as on a read-only file
        system, there is none: a model that is complete needs nothing written.
        """
        fresh = sorted(set(folders) - self._held.keys())
        for folder in fresh:
            self._held[folder] = None
            with contextlib.suppress(OSError):
                self._held[folder] = fd = _open(self._folder, folder)
                fcntl.flock(fd, fcntl.LOCK_SH)
        return bool(fresh)


@contextlib.contextmanager
def alone(state_dir: Path, folder: str) -> Iterator[bool]:
    """Yields True while no run of ours works with the repo folder, and none can begin to."""
    with on_disk("lock", state_dir / "use"):
        fd = _open(state_dir / "use", folder)
    try:
        # Where the file system knows no locks, the age of things decides.
        yield lock_alone(fd)
    finally:
        os.close(fd)


def _open(state: Path, folder: str) -> int:
    state.mkdir(mode=0o700, exist_ok=True)
    return os.open(state / f"{folder}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
