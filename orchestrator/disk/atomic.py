"""Names that appear at once: whole files, links and folders, put into place so that no reader sees half of one.

Scratch names are made in our own stage, never beside the target: huggingface_hub takes every name in `refs/` for a
ref, and one that is empty after a crash makes the repo vanish from its list.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH105, PTH211
from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path, PurePath

from orchestrator.disk.access import others_who_may_exchange
from orchestrator.disk.folders import Folder, named, planted
from orchestrator.errors import UnsafeError
from orchestrator.platform.open_flags import CLOEXEC
from orchestrator.system import processes
from orchestrator.system.failures import on_disk


def scratch(stage: Path) -> Path:
    """A fresh name in the stage; `Staging.litter` knows what a crash leaves there."""
    return stage / processes.scratch_name()


def drop(path: Path) -> None:
    """Remove a scratch file, if there is one and that is possible: the next run sweeps."""
    with contextlib.suppress(OSError):
        path.unlink()


def drop_all(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; of a folder, as much as is possible."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def sweep_scratch(folder: Path) -> None:
    """Remove the scratch files of runs that were killed. For folders other than the stage, which has its own sweep.

    What cannot be removed, such as another user's, stays.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob("scratch-*"):
            if processes.is_left_behind(path):
                drop(path)


def write_file(
    target: Path,
    content: str | bytes,
    stage: Path,
    *,
    mode: int = 0o666,
    durable: bool = True,
    folder: Folder | None = None,
) -> None:
    """Make `target` hold `content`, in one step; `mode` is narrowed by the umask. Its folder must exist.

    With `folder`, which is open, `target` is an entry of it: for a place where others may write. With `durable` the
    content is on the disk before the name is there. Raises per `system.failures`.
    """
    temporary = scratch(stage)
    with on_disk("write", target):
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOEXEC, mode)
            with os.fdopen(fd, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            if folder is None:
                os.replace(temporary, target)
            else:
                folder.replace(temporary, target.name)
        except BaseException as error:
            drop(temporary)
            if isinstance(error, OSError) and temporary.parent == target.parent:
                raise named(error, target) from error  # the scratch name tells nobody anything
            raise


def write_link(folder: Folder, name: str, to: str, stage: Path) -> bool:
    """Make the entry `name` of `folder` a symlink to the text `to`; True when that changed something.

    What lies there is replaced in one step; a folder there is an error. Raises OSError, untranslated: the caller
    falls back when the file system knows no symlinks.
    """
    try:
        folder.symlink(to, name)
    except FileExistsError:
        with contextlib.suppress(OSError):
            if folder.readlink(name) == to:
                return False
        temporary = scratch(stage)
        os.symlink(to, temporary)
        try:
            folder.replace(temporary, name)
        except BaseException:
            drop(temporary)
            raise
    return True


def open_root(path: Path, *, no_links: bool = False) -> Folder:
    """Open the folder that a user named, made where it is missing. Raises per `system.failures`.

    With `no_links` others chose it: raises UnsafeError for a symlink anywhere on the way.
    """
    with on_disk("create", path):
        if no_links:
            with Folder.open(Path(path.anchor)) as top:
                return top.beneath(path.relative_to(path.anchor), [])
        path.mkdir(parents=True, exist_ok=True)
        return Folder.open(path)


def scratch_folder(root: Folder, stage: Path) -> Path:
    """A folder for new names that are later renamed into the cache at `root`.

    The stage; when that is on another volume, the folder of the cache that its readers pass over. Raises what
    `system.failures` says.
    """
    try:
        if stage.stat().st_dev == os.fstat(root.fd).st_dev:
            return stage
    except OSError:  # for a cache that is only read there may be none
        return stage
    with on_disk("create", root.path / ".locks"):
        with root.beneath(".locks", []) as locks:
            sweep_scratch(locks.held)
        return root.held / ".locks"


def make_folder(root: Folder, inside: str | PurePath) -> tuple[Folder, list[Path]]:
    """Open the folder `inside` an open one, made where it is missing; also tells the folders in which a name was added.

    Raises UnsafeError when a part between them is a symlink: it was planted, or leads where we must not write. Only a
    repo folder of the cache may be one (see `moved.CacheFolder`).
    """
    changed: list[Path] = []
    with on_disk("create", root.path / inside):
        return root.beneath(inside, changed), changed


def make_aside(root: Folder, inside: str | PurePath) -> tuple[Folder, list[Path]]:
    """Open a folder as `make_folder` does, for new names that are then renamed within `root`.

    Others could exchange a new name there, so that theirs gets into place: where they may not do so in `root`, the
    folder is closed to them. Raises UnsafeError when it is theirs.
    """
    aside, changed = make_folder(root, inside)
    if _who(root) is not None or _who(aside) is None:
        return aside, changed
    with contextlib.suppress(OSError):
        aside.held.chmod(stat.S_IMODE(os.fstat(aside.fd).st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH))
    reason = _who(aside)
    if reason is None:
        return aside, changed
    aside.close()
    raise UnsafeError(
        f"new files would be made in {os.fspath(aside.path)!r}, and {reason}; nothing was changed",
        hint="remove that folder, or choose another place",
        file=str(aside.path),
    )


def _who(folder: Folder) -> str | None:
    """Others who may exchange what lies in an open folder."""
    return others_who_may_exchange(os.fstat(folder.fd), folder.held)


def refuse_link(folder: Path, found: os.stat_result | None = None) -> None:
    """Raise UnsafeError when `folder`, with the stat `found`, is a symlink. A folder that does not exist is fine."""
    with contextlib.suppress(OSError):
        if stat.S_ISLNK((found or os.lstat(folder)).st_mode):
            raise planted(folder)
