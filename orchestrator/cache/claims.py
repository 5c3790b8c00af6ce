"""Claims: the one writer of a part, and the runs that hold a repo.

Two things make a claim on a part, so that it is right with and without working locks:

- a lock on one byte of `claims.lock`, at an offset taken from the digest. The kernel drops it with its holder, so
  after SIGKILL a part is free at once. One file serves all digests and is never removed: there is no lock file per
  digest whose removal could race with somebody who just opened it, and one descriptor serves thousands of claims.
- `<hex>.owner`, created exclusively, which says who holds it. Where locks succeed for everyone (Lustre with
  localflock, some FUSE), a living owner on this host is still seen by pid and start time. An owner on another host is
  believed as long as its part was written to within `FOREIGN_PATIENCE` seconds. Left out on a local file system whose
  locks were seen to exclude: two file operations per small file are a quarter of what placing it costs.

Nodes that share a cache may have more to say: they are `Owners`.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH108
from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Protocol

from orchestrator.core.files import Digest
from orchestrator.disk.locks import own_lock
from orchestrator.disk.space import file_system
from orchestrator.errors import TemporaryError
from orchestrator.platform import file_locks
from orchestrator.platform.host import host_name
from orchestrator.platform.open_flags import CLOEXEC, NOFOLLOW
from orchestrator.system import processes
from orchestrator.system.small_files import read_small_text

FOREIGN_PATIENCE = 30.0
_OWNER_BYTES = 1024
# An owner file without a readable owner is just being written, until it is so many seconds old.
_TORN_AGE = 1.0
_LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "bcachefs"}
_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}


class Grant(Enum):
    """The answer to who wants to write a blob. `NEW_PART`: yes, but not into the part that lies there."""

    YES = "yes"
    NEW_PART = "new part"
    NO = "no"


class Owners(Protocol):
    """The writer of a blob among the nodes of a shared cache, asked after the file locks.

    It saves work only: what is placed has been proven, and equal bytes may be placed twice. So an implementation that
    cannot be asked says yes. Thread-safe; no method waits for another owner, and none raises for one.
    """

    def take(self, digest: Digest) -> Grant:
        """Ask to be the one writer of a blob; repeatable by who has it.

        `NEW_PART` when the writer before may still write into its part.
        """

    def is_ours(self, digest: Digest) -> bool:
        """False once another node took over what we took, until we take it again; True for what nobody took.

        Asked right before a blob is placed, or its part is removed.
        """

    def give_back(self, digest: Digest) -> None:
        """The blob is placed, or given up. Fine for one that we do not have.

        That it was lost meanwhile is still known afterwards: it explains what failed.
        """


class Alone:
    """The `Owners` of a cache that no other node shares: all is ours."""

    def take(self, digest: Digest) -> Grant:  # noqa: ARG002 - the port's signature, as below
        """See `Owners`."""
        return Grant.YES

    def is_ours(self, digest: Digest) -> bool:  # noqa: ARG002
        """See `Owners`."""
        return True

    def give_back(self, digest: Digest) -> None:
        """See `Owners`."""


ALONE = Alone()


def taken_over(name: str) -> TemporaryError:
    """The error of a node that stood still for so long that another one fetches in its place."""
    return TemporaryError(
        f"another node took over {name} while this one was stalled",
        hint="run the same command again: it waits for the other node",
    )


class FileClaims:
    """The locks and owner files of the parts in `stage`. Called by one thread at a time; never waits."""

    def __init__(self, stage: Path, locks: Path) -> None:
        self._stage = stage
        self._locks = locks
        self._fd: int | None = None
        self._trusts_locks: bool | None = None

    def take(self, digest: Digest) -> bool:
        """False while another process, or another instance, holds the part. Raises OSError."""
        if not self._lock(digest, True):
            return False
        owned = False
        try:
            owned = self._are_locks_enough(digest) or self._own(digest)
        finally:
            if not owned:
                self._lock(digest, False)
        return owned

    def give_back(self, digest: Digest) -> None:
        """Let others have what `take` gave. Raises OSError."""
        if not self._trusts_locks:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._stage}/{digest.hex}.owner")
        self._lock(digest, False)

    def close(self) -> None:
        """Drop every lock with the descriptor."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _lock(self, digest: Digest, lock: bool) -> bool:
        if self._fd is None:
            self._fd = os.open(self._locks, os.O_RDWR | os.O_CREAT | CLOEXEC | NOFOLLOW, 0o600)
        # 60 bits of the digest: two digests share a byte once in a quintillion, and then only wait for each other.
        offset = int(digest.hex[:15], 16)
        try:
            file_locks.lock_byte(self._fd, offset, lock=lock)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            # No locks on this file system: the owner file alone decides.
            if error.errno in _NO_LOCKS:
                return True
            raise
        return True

    def _are_locks_enough(self, digest: Digest) -> bool:
        """Found out once, with the lock on `digest` held: does it keep a second descriptor out, and no other host?"""
        if self._trusts_locks is None:
            self._trusts_locks = False
            if _is_local(self._stage):
                mine, self._fd = self._fd, None
                try:
                    self._trusts_locks = not self._lock(digest, True)
                finally:
                    if self._fd is not None:
                        os.close(self._fd)
                    self._fd = mine
        return self._trusts_locks

    def _own(self, digest: Digest) -> bool:
        """Become the owner on record; False while another one lives."""
        record = f"{self._stage}/{digest.hex}.owner"
        fd = self._create(digest, record)
        if fd is None:
            return False
        try:
            os.write(fd, "".join(f"{part}\n" for part in processes.me()).encode())
        except BaseException:
            os.unlink(record)
            raise
        finally:
            os.close(fd)
        return True

    def _create(self, digest: Digest, record: str) -> int | None:
        """The owner file, ours to write; None while another owner lives, or came first."""
        with contextlib.suppress(FileExistsError):
            return os.open(record, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOEXEC | NOFOLLOW, 0o600)
        if self._is_owned(digest, Path(record)):
            return None
        # Where everyone gets the lock, its owner may release it just now: the next try will tell.
        with contextlib.suppress(FileNotFoundError):
            return os.open(record, os.O_WRONLY | os.O_TRUNC | CLOEXEC | NOFOLLOW)
        return None

    def _is_owned(self, digest: Digest, record: Path) -> bool:
        try:
            host, pid, started = read_small_text(record, _OWNER_BYTES).split("\n")[:3]
        except FileNotFoundError:
            return False
        except (ValueError, OSError):
            # Just being written, or torn by a crash: the lock, which we hold, decides unless it is brand new.
            return processes.age(record) < _TORN_AGE
        if host == host_name():
            return processes.lives(pid, started)
        part = self._stage / digest.hex
        return (
            min(processes.age(part), processes.age(part.with_name(f"{part.name}.aria2")), processes.age(record))
            < FOREIGN_PATIENCE
        )


def is_orphaned(record: Path) -> bool:
    """True when the owner that a file names has ended, or was killed before it could say who it is."""
    try:
        host, pid, started = read_small_text(record, _OWNER_BYTES).split("\n")[:3]
        return host == host_name() and not processes.lives(pid, started)
    except FileNotFoundError:
        return False
    except ValueError:
        return processes.age(record) >= _TORN_AGE


def _is_local(folder: Path) -> bool:
    """True when the folder's file system is one of those that a single kernel mounts. Linux; False elsewhere."""
    return file_system(folder) in _LOCAL


class Use:
    """The repos that a run holds, so that nobody removes what it counts on. Leaving the context lets go of all of them.

    A pull holds a shared lock on `use/<folder>.lock` from its first look at a repo until its end; a run that removes
    from the repo needs the lock for itself, and never waits for it. The kernel drops a lock with its holder, so a
    killed run blocks nobody. Where locks do not exclude, what is young is kept anyway (see `upkeep.garbage`).
    """

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
                self._held[folder] = fd = _open_lock(self._folder, folder)
                file_locks.lock(fd, shared=True)
        return bool(fresh)


@contextlib.contextmanager
def alone(state_dir: Path, folder: str) -> Iterator[bool]:
    """Yields True while no run of ours works with the repo folder, and none can begin to."""
    # Where the file system knows no locks, the age of things decides.
    with own_lock(_lock_of(state_dir / "use", folder)) as is_alone:
        yield is_alone


def _open_lock(state: Path, folder: str) -> int:
    state.mkdir(mode=0o700, exist_ok=True)
    return os.open(_lock_of(state, folder), os.O_RDWR | os.O_CREAT | CLOEXEC | NOFOLLOW, 0o600)


def _lock_of(state: Path, folder: str) -> Path:
    return state / f"{folder}.lock"
