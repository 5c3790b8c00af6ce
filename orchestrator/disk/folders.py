"""Folders that are opened once and then used by descriptor, so that nobody can exchange one for a link under a run.

Every call looks a path up again. Another user who may write to a folder on the way can rename its content and put a
symlink there, between our check and our write. A descriptor stays with the folder that it was opened for. All systems
with the locks that we need have the calls that take one, so there is no second way.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH108, PTH208
from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Self

from orchestrator.disk.access import OURS_ALONE, others_who_may_exchange
from orchestrator.errors import UnsafeError
from orchestrator.platform.files import walk
from orchestrator.platform.host import HAS_ROOT
from orchestrator.platform.lacking import need_folders
from orchestrator.platform.open_flags import CLOEXEC, DIRECTORY, NOFOLLOW, REACH
from orchestrator.system.failures import on_disk
from orchestrator.system.processes import scratch_name
from orchestrator.system.small_files import read_small

# For a folder that may be passed through but not listed; what needs more than that opens "." again.
_REACH = REACH | DIRECTORY | CLOEXEC
_READ = os.O_RDONLY | DIRECTORY | CLOEXEC
_HAS_PROC = HAS_ROOT and Path("/proc/self/fd").is_dir()
_HELD = re.compile(r"/proc/\d+/fd/\d+(?:/.*)?", re.DOTALL)


class Folder:
    """An open folder. A name given to its methods is that of an entry of its own; only `stat` follows it as a symlink.

    `path` is what it was opened as, for messages. A context manager; holds one descriptor until `close`. All methods
    raise OSError, with the path in it where the system gives one.
    """

    __slots__ = ("fd", "path")

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Folder:
        """The folder that the user named: `path` itself may lead over symlinks. Raises UnsupportedError, too."""
        need_folders()
        return cls(os.open(path, _REACH), path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def held(self) -> Path:
        """A path that leads to this very folder as long as it is open, for what takes a path; `path` without /proc."""
        return Path(f"/proc/self/fd/{self.fd}") if _HAS_PROC else self.path

    @property
    def volumes(self) -> tuple[Path, ...]:
        """A path on each volume that what is used beneath it may lie on."""
        return (self.held,)

    def beneath(self, inside: str | PurePath, made: list[Path] | None = None) -> Folder:
        """Open the folder at the relative path `inside`, part by part, through no symlink.

        With `made`, what is missing is made, and the folders in which a name was added are appended to it. Raises
        UnsafeError for a symlink on the way, FileNotFoundError and its like.
        """
        at = Folder(os.dup(self.fd), self.path)
        try:
            for part in PurePath(inside).parts:
                if part == ".." or part.startswith("/"):
                    raise ValueError(f"{inside!r} is not below a folder")
                below = at._child(part, made)
                at.close()
                at = below
        except BaseException:
            at.close()
            raise
        return at

    def _child(self, name: str, made: list[Path] | None) -> Folder:
        path = self.path / name
        for _ in range(2):
            try:
                return Folder(os.open(name, _REACH | NOFOLLOW, dir_fd=self.fd), path)
            except FileNotFoundError as error:
                if made is None:
                    raise named(error, path) from error
            except OSError as error:
                self._refuse_exchanged(name, error)
                raise named(error, path) from error
            try:
                os.mkdir(name, dir_fd=self.fd)
                made.append(self.path)
            except FileExistsError:
                pass  # by another process: opened now
            except OSError as error:
                raise named(error, path) from error
        raise FileNotFoundError(errno.ENOENT, "made and removed again", os.fspath(path))

    def _refuse_exchanged(self, name: str, error: OSError) -> None:
        """Raise UnsafeError when opening the entry failed since it is a symlink, or was a moment ago."""
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            return
        kind = stat.S_IFLNK
        with contextlib.suppress(FileNotFoundError):
            kind = stat.S_IFMT(self.lstat(name).st_mode)
        if kind in (stat.S_IFLNK, stat.S_IFDIR):
            raise planted(self.path / name) from error

    def lstat(self, name: str) -> os.stat_result:
        """The stat of the entry itself."""
        return os.lstat(name, dir_fd=self.fd)

    def stat(self, name: str) -> os.stat_result:
        """The stat of what the entry leads to, the one method that follows a symlink."""
        try:
            return os.stat(name, dir_fd=self.fd)
        except OSError as error:
            raise named(error, self.path / name) from error

    def readlink(self, name: str) -> str:
        """The target of the symlink. Raises OSError (EINVAL) if it is none."""
        return os.readlink(name, dir_fd=self.fd)

    def symlink(self, text: str, name: str) -> None:
        """Make the entry a symlink to `text`. Raises FileExistsError when there is an entry."""
        os.symlink(text, name, dir_fd=self.fd)

    def replace(self, source: str | Path, name: str, *, source_in: Folder | None = None) -> None:
        """Rename `source`, a path or an entry of `source_in`, to the entry, in one step, whatever lay there."""
        os.replace(source, name, src_dir_fd=source_in.fd if source_in else None, dst_dir_fd=self.fd)

    def move_out(self, name: str, target: Path) -> None:
        """Rename the entry to `target`."""
        os.rename(name, target, src_dir_fd=self.fd)

    def unlink(self, name: str, *, missing_ok: bool = False) -> None:
        """Remove the entry, which is no folder."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rmdir(self, name: str) -> None:
        """Remove the entry, an empty folder."""
        os.rmdir(name, dir_fd=self.fd)

    def create(self, name: str, mode: int = 0o666) -> int:
        """Make the entry, which must not exist, as a file; its descriptor, to write to."""
        return os.open(name, _FRESH, mode, dir_fd=self.fd)

    def read_small(self, name: str, most: int) -> bytes:
        """The content of the entry, as `small_files.read_small` gives it."""
        return read_small(name, most, dir_fd=self.fd)

    def unlink_links(self, target: str) -> None:
        """Remove all symlinks in it, at any depth, that lead to something of the name `target`."""
        for _, _, names, fd in walk(".", dir_fd=self.fd):
            for name in names:
                try:
                    leads_to = os.readlink(name, dir_fd=fd)
                except OSError:  # no link, or gone
                    continue
                if leads_to.rpartition("/")[2] == target:
                    os.unlink(name, dir_fd=fd)

    def remove_empty(self, name: str, is_junk: Callable[[str], bool] = lambda _name: False) -> None:
        """Remove the entry, a folder of which only empty folders, and junk, are left. Fine when it is no folder.

        `is_junk` judges a file by its name. Raises OSError when there is more.
        """
        try:
            # Walking opens what it begins with, and an open(2) of a FIFO waits.
            if not stat.S_ISDIR(self.lstat(name).st_mode):
                return
            for _, folders, names, fd in walk(name, topdown=False, dir_fd=self.fd):
                for junk in filter(is_junk, names):
                    os.unlink(junk, dir_fd=fd)
                for folder in folders:
                    os.rmdir(folder, dir_fd=fd)
            self.rmdir(name)
        except FileNotFoundError:
            return

    def names(self) -> list[str]:
        """The names of its entries, sorted."""
        fd = self._reopen()
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def files(self) -> list[str]:
        """All in it, at any depth, that is no folder: paths relative to it. A folder that cannot be read is empty."""
        found = []
        for at, folders, names, fd in walk(".", dir_fd=self.fd):
            links = [name for name in folders if stat.S_ISLNK(os.lstat(name, dir_fd=fd).st_mode)]
            found += [os.path.normpath(f"{at}/{name}") for name in (*names, *links)]
        return found

    def sync(self) -> None:
        """Return once its names are on the disk."""
        fd = self._reopen()
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _reopen(self) -> int:
        return os.open(".", _READ, dir_fd=self.fd)


_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW | CLOEXEC


def open_fresh(path: str | Path, mode: int = 0o666) -> int:
    """Make a new file at `path` and open it to write; what lay there is removed, never written to or followed."""
    try:
        return os.open(path, _FRESH, mode)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, _FRESH, mode)


def try_to_write(folder: Path, meant: Path | None = None) -> None:
    """Make, rename and remove an empty file in `folder`. Raises per `system.failures`, about `meant` if that is given.

    That is the file which is to be written there later on.
    """
    made = folder / scratch_name()
    renamed = folder / scratch_name()
    with on_disk("write", made):
        try:
            try:
                os.close(open_fresh(made))
                made.rename(renamed)
            finally:
                made.unlink(missing_ok=True)
                renamed.unlink(missing_ok=True)
        except OSError as error:
            raise named(error, meant or made) from error


def planted(path: Path) -> UnsafeError:
    """The error for a symlink where a folder of ours should be."""
    return UnsafeError(
        f"{os.fspath(path)!r} is a symlink; nothing is read or written through it",
        hint="remove it, or bind-mount the other place there; --cache-dir itself may be a symlink",
        file=str(path),
    )


def exposed_above(path: Path) -> Path | None:
    """The folder above the absolute, resolved `path` in which others may exchange what leads to it; None for none.

    Raises OSError when a folder cannot be looked at.
    """
    return next((folder for folder in path.parents if others_who_may_exchange(folder.stat(), folder)), None)


def hold(path: Path) -> Path | None:
    """A name for our folder at `path` that stays with it, even if folders above are exchanged; None for none.

    It is `/proc/<pid>/fd/<number>` (proc(5), Linux), which other processes of the same user may use, too, as long as
    this one runs; so the descriptor is never given back. The same folder has one name. Raises OSError unless `path`
    is a folder of ours, open to nobody else, and no symlink.
    """
    fd = os.open(path, _READ | NOFOLLOW)
    found = os.fstat(fd)
    if not OURS_ALONE.holds(found):
        os.close(fd)
        raise PermissionError(errno.EPERM, "not a folder of ours alone", os.fspath(path))
    known = _held.get((found.st_dev, found.st_ino))
    if known is not None:
        os.close(fd)
        return known
    name = Path(f"/proc/{os.getpid()}/fd/{fd}")
    with contextlib.suppress(OSError):
        if os.path.samestat(name.stat(), found):
            _held[found.st_dev, found.st_ino] = name
            return name
    os.close(fd)
    return None


_held: dict[tuple[int, int], Path] = {}


def is_same_place(one: Path, other: Path) -> bool:
    """True when both name one folder, or when `one` was held by a process that has ended."""
    if one == other:
        return True
    try:
        return one.samefile(other)
    except OSError:
        return _HELD.fullmatch(os.fspath(one)) is not None and not one.exists()


def named(error: OSError, path: Path) -> OSError:
    """The error about `path`: the system was given the last part of it, or a scratch name."""
    return type(error)(error.errno, error.strerror, os.fspath(path))
