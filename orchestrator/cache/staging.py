"""Parts: files that aria2 writes and nobody believes yet, named by digest, so that any run can resume any other's.

A part belongs to whoever holds its claim. Two things make a claim, so that it is right with and without working locks:

- a lock on one byte of `claims.lock`, at an offset taken from the digest. The kernel drops it with its holder, so
  after SIGKILL a part is free at once. One file serves all digests and is never removed: there is no lock file per
  digest whose removal could race with somebody who just opened it, and one descriptor serves thousands of claims.
- `<hex>.owner`, created exclusively, which says who holds it. Where locks succeed for everyone (Lustre with
  localflock, some FUSE), a living owner on this host is still seen by pid and start time. An owner on another host is
  believed as long as its part was written to within `FOREIGN_PATIENCE` seconds. Left out on a local file system whose
  locks were seen to exclude: two file operations per small file are a quarter of what placing it costs.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH108
from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.files import Algorithm, Digest
from orchestrator.disk.space import file_system
from orchestrator.swarm.leases import Grant, Leases
from orchestrator.system import processes
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import read_small_text

FOREIGN_PATIENCE = 30.0
_OWNER_BYTES = 1024
# An owner file without a readable owner is just being written, until it is so many seconds old.
_TORN_AGE = 1.0
# What may lie beside a part: aria2's control file and its temporary, our journal, piece hashes, the owner.
_SIDECARS = (".aria2", ".aria2__temp", ".journal", ".journal.new", ".pieces", ".owner")
_TAKEN_OVER = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{40})-[0-9a-f]{8}")
_LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "bcachefs"}
_KINDS = {True: fcntl.F_WRLCK, False: fcntl.F_UNLCK}
_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}


@dataclass(slots=True)
class Claim:
    """The sole right to write, verify and place one part, until `release` or the process ends."""

    digest: Digest
    _staging: Staging
    _held: bool = field(default=True)

    def release(self) -> None:
        """Give it up. Idempotent. What the part holds stays for the next claimant."""
        if self._held:
            self._held = False
            self._staging._release(self.digest)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Staging:
    """The parts in `<state_dir>/stage`. One instance may be used by many threads.

    With `leases`, the nodes of a shared cache are asked as well, after the locks of this one.
    """

    def __init__(self, state_dir: Path, leases: Leases | None = None) -> None:
        self._leases = leases
        self.folder = state_dir / "stage"
        self._locks = state_dir / "claims.lock"
        self._fd: int | None = None
        self._trusts_locks: bool | None = None
        self._held: set[str] = set()
        self._names: dict[str, str] = {}
        self._guard = threading.Lock()

    def part(self, digest: Digest) -> Path:
        """The part's path, the only name that aria2 is given. Another one once the part was taken over from a node."""
        return self.folder / self._name(digest)

    def control(self, digest: Digest) -> Path:
        """aria2's control file of the part."""
        return self.folder / f"{self._name(digest)}.aria2"

    def journal(self, digest: Digest) -> Path:
        """Our journal of the part."""
        return self.folder / f"{self._name(digest)}.journal"

    def held(self, digest: Digest) -> int:
        """Bytes that the part takes up on the disk, 0 when there is none."""
        try:
            return os.lstat(self.part(digest)).st_blocks * 512
        except OSError:
            return 0

    def claim(self, digest: Digest) -> Claim | None:
        """The claim on a part, or None while another process or thread holds it. Never waits."""
        with self._guard, on_disk("lock", self._locks):
            if digest.hex in self._held or not self._lock(digest, True):
                return None
            owned = False
            try:
                owned = self._are_locks_enough(digest) or self._own(digest)
                if owned and not self._is_leased(digest):
                    owned = False
                    self._disown(digest)
            finally:
                if not owned:
                    self._lock(digest, False)
            if not owned:
                return None
            self._held.add(digest.hex)
        return Claim(digest, self)

    def discard(self, digest: Digest) -> None:
        """Remove the part, its control file and all else beside it, but keep the claim. Fine when nothing is there.

        Nothing is done when another node has taken the claim over: it is that one's part now.
        """
        if self.is_ours(digest):
            self._discard(digest)

    def remove(self, digest: Digest) -> bool:
        """Claim the part and discard it; False while another run holds the claim. Fine when nothing is there."""
        claim = self.claim(digest)
        if claim is None:
            return False
        with claim:
            self.discard(digest)
        return True

    def is_ours(self, digest: Digest) -> bool:
        """False once another node has taken over what we claimed. Asks the shared Redis, if there is one."""
        return self._leases is None or self._leases.may_place(digest)

    def _discard(self, digest: Digest) -> None:
        with on_disk("remove", self.part(digest)):
            for suffix in ("", *_SIDECARS[:-1]):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.folder}/{self._name(digest)}{suffix}")

    def _name(self, digest: Digest) -> str:
        return self._names.get(digest.hex, digest.hex)

    def parts(self) -> tuple[tuple[Digest, float], ...]:
        """All parts, each with the seconds since it was last written to."""
        with on_disk("read", self.folder):
            try:
                names = sorted(os.listdir(self.folder))  # noqa: PTH208 - names are all that is wanted
            except (FileNotFoundError, NotADirectoryError):
                return ()
            lengths = {64: Algorithm.SHA256, 40: Algorithm.GIT_SHA1}
            digests = [Digest(lengths[len(n)], n) for n in names if len(n) in lengths and "." not in n and "-" not in n]
            return tuple((d, min(processes.age(self.part(d)), processes.age(self.journal(d)))) for d in digests)

    def litter(self) -> tuple[Path, ...]:
        """Files that serve nobody: sidecars without a part, owners that died, scratch files of crashed runs.

        Parts are never litter, since they save a download; `gc` decides about those. What a living claim covers is
        left out.
        """
        with on_disk("read", self.folder):
            try:
                names = {entry.name: entry for entry in os.scandir(self.folder)}
            except (FileNotFoundError, NotADirectoryError):
                return ()
            return tuple(sorted(self._litter(names)))

    def sweep(self) -> int:
        """Remove the litter; returns how many files that were."""
        count = 0
        with on_disk("clean", self.folder):
            for path in self.litter():
                with contextlib.suppress(FileNotFoundError):
                    # A folder: a snapshot that a killed `cache gc` had taken out of the cache.
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                    count += 1
        return count

    def close(self) -> None:
        """Drop every claim and the descriptor."""
        if self._leases is not None:
            self._leases.close()
        for held in tuple(self._held):
            with contextlib.suppress(OSError):  # a dead owner's file is in nobody's way
                os.unlink(f"{self.folder}/{held}.owner")
        with self._guard:
            self._held.clear()
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _release(self, digest: Digest) -> None:
        with self._guard, on_disk("unlock", self._locks):
            if digest.hex not in self._held:
                return
            if self._leases is not None:
                self._leases.give_back(digest)
            if digest.hex in self._names:
                self._discard(digest)
                del self._names[digest.hex]
            self._disown(digest)
            self._held.discard(digest.hex)
            self._lock(digest, False)

    def _disown(self, digest: Digest) -> None:
        if not self._trusts_locks:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.folder}/{digest.hex}.owner")

    def _is_leased(self, digest: Digest) -> bool:
        grant = self._leases.take(digest) if self._leases is not None else Grant.YES
        if grant is Grant.ANEW:
            # The holder before may wake up and write on: into a file that has no name any more. And it may still make
            # and remove names that begin with the digest, so from here on ours is another one.
            self._names.pop(digest.hex, None)
            self._discard(digest)
            self._names[digest.hex] = f"{digest.hex}-{os.urandom(4).hex()}"
        return grant is not Grant.NO

    def _lock(self, digest: Digest, lock: bool) -> bool:
        if self._fd is None:
            self._fd = os.open(self._locks, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        # 60 bits of the digest: two digests share a byte once in a quintillion, and then only wait for each other.
        offset = int(digest.hex[:15], 16)
        try:
            if hasattr(fcntl, "F_OFD_SETLK"):
                # Belongs to the descriptor, so two instances in one process exclude each other too. struct flock:
                # l_type, l_whence, l_start, l_len, l_pid (0 here); native sizes and padding.
                request = struct.pack("hhqqi4x", _KINDS[lock], os.SEEK_SET, offset, 1, 0)
                fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, request)
            else:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB if lock else fcntl.LOCK_UN, 1, offset)
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
            if _is_local(self.folder):
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
        record = f"{self.folder}/{digest.hex}.owner"
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
            return os.open(record, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if self._is_owned(digest, Path(record)):
            return None
        # Where everyone gets the lock, its owner may release it just now: the next try will tell.
        with contextlib.suppress(FileNotFoundError):
            return os.open(record, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW)
        return None

    def _is_owned(self, digest: Digest, record: Path) -> bool:
        try:
            host, pid, started = read_small_text(record, _OWNER_BYTES).split("\n")[:3]
        except FileNotFoundError:
            return False
        except (ValueError, OSError):
            # Just being written, or torn by a crash: the lock, which we hold, decides unless it is brand new.
            return processes.age(record) < _TORN_AGE
        if host == os.uname().nodename:
            return processes.lives(pid, started)
        return (
            min(processes.age(self.part(digest)), processes.age(self.control(digest)), processes.age(record))
            < FOREIGN_PATIENCE
        )

    def _is_orphaned(self, record: Path) -> bool:
        """True when the owner has ended, or was killed before it could say who it is."""
        try:
            host, pid, started = read_small_text(record, _OWNER_BYTES).split("\n")[:3]
            return host == os.uname().nodename and not processes.lives(pid, started)
        except FileNotFoundError:
            return False
        except ValueError:
            return processes.age(record) >= _TORN_AGE

    def _litter(self, names: dict[str, os.DirEntry[str]]) -> Iterator[Path]:
        for name in names:
            path = self.folder / name
            stem, _, suffix = name.partition(".")
            if processes.is_left_behind(path) or (
                _TAKEN_OVER.fullmatch(name) and processes.age(path) > processes.FOREIGN_AGE
            ):
                yield path
            elif suffix == "owner":
                if self._is_orphaned(path):
                    yield path
            elif suffix and stem not in names and f"{stem}.owner" not in names:
                yield path


def _is_local(folder: Path) -> bool:
    """True when the folder's file system is one of those that a single kernel mounts. Linux; False elsewhere."""
    return file_system(folder) in _LOCAL
