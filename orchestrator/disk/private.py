"""Folders and files that are ours alone, and where the runtime folder lies.

The name of a runtime folder can be foretold, and in a temporary folder anybody may make it first. So a folder is opened
once, looked at through its descriptor, and all work in it uses that descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from orchestrator.disk.access import KEEPS_NAMES, NO_STRANGERS_WRITE, OURS, OURS_ALONE, OURS_TO_WRITE, Rule
from orchestrator.disk.folders import Folder
from orchestrator.errors import CannotCreateError
from orchestrator.platform.files import set_mode
from orchestrator.platform.lacking import need_folders
from orchestrator.platform.open_flags import CLOEXEC, DIRECTORY, NOFOLLOW
from orchestrator.platform.users import user_id
from orchestrator.system.failures import translate

_OPEN = os.O_RDONLY | DIRECTORY | NOFOLLOW | CLOEXEC
# Another run may remove the empty runtime folder right after we create it.
_TRIES = 100
_HINT = "set XDG_RUNTIME_DIR to a folder of your own (mode 0700), on a disk with room"
_USERS = "/run/user"
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - only where nobody can exchange a name of ours

Made = TypeVar("Made")


class PrivateFolder(Folder):
    """A folder that is ours alone (0700), held open, with files that are (0600)."""

    __slots__ = ()

    @classmethod
    def find(cls, path: Path) -> PrivateFolder | None:
        """The folder at `path`; None when there is none, or when it is a link, someone else's or open to others."""
        return cls._find(path, None)

    @classmethod
    def make(cls, path: Path) -> PrivateFolder:
        """The folder at `path`, made when there is none.

        Raises CannotCreateError when someone else's is in the way, and what a full or failing disk is worth.
        """
        return in_private_folder(path, cls.copy)

    def copy(self) -> PrivateFolder:
        """The same folder, held on its own."""
        return PrivateFolder(os.dup(self.fd), self.path)

    def child(self, name: str) -> PrivateFolder | None:
        """The folder `name` in this one, by the rules of `find`."""
        return self._find(self.path / name, self.fd)

    def make_child(self, name: str) -> None:
        """Make a folder in this one, if there is none. Raises OSError."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self.fd)

    def read(self, name: str, most: int) -> bytes:
        """The content of a small file. Raises OSError, also for a file that is not ours alone."""
        if not OURS_ALONE.holds(self.lstat(name)):
            raise OSError(errno.EACCES, "not a file of ours", name)
        return self.read_small(name, most)

    def create(self, name: str, mode: int = 0o600) -> int:
        """A descriptor of a new empty file, in place of any that has the name. Raises per `system.failures`."""
        with written(self.path / name):
            self.unlink(name, missing_ok=True)
            return super().create(name, mode)

    def write(self, name: str, text: str) -> None:
        """Put a text into a new file (0600). Raises per `system.failures`."""
        # Closing the file writes what a full disk refused once more: that is translated, too.
        with written(self.path / name), os.fdopen(self.create(name), "w", encoding="utf-8") as file:
            file.write(text)

    def remove_tree(self, name: str) -> None:
        """Remove a folder, or whatever has the name, as far as that is possible; follows no link."""
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(self.lstat(name).st_mode):
                shutil.rmtree(name, dir_fd=self.fd, ignore_errors=True)
            else:
                self.unlink(name)

    @classmethod
    def _find(cls, path: Path, dir_fd: int | None) -> PrivateFolder | None:
        try:
            fd = os.open(path if dir_fd is None else path.name, _OPEN, dir_fd=dir_fd)
        except OSError:
            return None
        if not OURS_ALONE.holds(os.fstat(fd)):
            os.close(fd)
            return None
        return cls(fd, path)


def in_private_folder(path: Path, make: Callable[[PrivateFolder], Made]) -> Made:
    """The result of `make` in the folder at `path`, which is made private first.

    Tried again when another run removes the folder, empty until then, in between. Raises CannotCreateError when someone
    else's is in the way, and what a full or failing disk is worth.
    """
    need_folders()
    with written(path):
        for left in range(_TRIES, 0, -1):
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                with PrivateFolder(_owned(path), path) as folder:
                    return make(folder)
            except FileNotFoundError:
                if left == 1:
                    raise
            except FileExistsError:
                if os.path.lexists(path) and not path.is_dir():
                    raise
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Translate the errors of writing `path`, which lies in the runtime folder."""
    try:
        yield
    except OSError as error:
        translated = translate(error, "write", path)
        translated.hint = _HINT
        raise translated from error


def runtime_folder(state: Callable[[], Path]) -> Path:
    """The folder of daemons' configuration and state: private, and gone after a reboot if possible.

    $XDG_RUNTIME_DIR or /run/user/UID; else a folder of the user's own name in the temporary folder, or in memory, whose
    sticky bit keeps others from exchanging it; else, on a machine that can be written nowhere, below `state`. A place
    that somebody else took is passed over.
    """
    return next(runtime_folders(state))


def runtime_folders(state: Callable[[], Path]) -> Iterator[Path]:
    """The runtime folder, then those that were it while somebody else held the name of an earlier one.

    They end with the first place where nobody else could have taken a name.
    """
    user = user_id()
    for given in (os.environ.get("XDG_RUNTIME_DIR"), f"{_USERS}/{user}"):
        if given and Path(given).is_absolute() and _may_be_in(given, OURS_TO_WRITE):
            yield Path(given, "glm-aria")
            return
    for given in dict.fromkeys((*map(os.environ.get, ("TMPDIR", "TEMP", "TMP")), *_TEMPORARY)):
        if given and _may_be_in(given, KEEPS_NAMES) and not _is_taken(found := Path(given, f"glm-aria-{user}")):
            yield found.absolute()
            if NO_STRANGERS_WRITE.holds(Path(given).stat()):
                return
    yield state() / "run"


def _owned(path: Path) -> int:
    """A descriptor of the folder, which is closed to others from here on."""
    try:
        fd = os.open(path, _OPEN)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and path.is_symlink():
            raise _not_ours(path) from error
        raise
    try:
        facts = os.fstat(fd)
        if not OURS.holds(facts):
            raise _not_ours(path)
        if facts.st_mode & 0o777 != 0o700:
            set_mode(fd, 0o700)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _not_ours(path: Path) -> CannotCreateError:
    return CannotCreateError(f"{str(path)!r} belongs to someone else, or is a link", hint=_HINT, file=str(path))


def _may_be_in(folder: str, rule: Rule) -> bool:
    """True for a folder that keeps the rule, and that we may write to."""
    try:
        facts = Path(folder).stat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and rule.holds(facts) and os.access(folder, os.W_OK | os.X_OK)


def _is_taken(path: Path) -> bool:
    """True when something has the name that is no folder of ours."""
    try:
        facts = path.lstat()
    except OSError:
        return False
    return not (stat.S_ISDIR(facts.st_mode) and OURS.holds(facts))
