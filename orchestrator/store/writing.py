"""Names that appear at once: whole files, links and folders, put into place so that no reader sees half of one.

Scratch names are made in our own stage, never beside the target: huggingface_hub takes every name in `refs/` for a
ref, and one that is empty after a crash makes the repo vanish from its list.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH102, PTH105, PTH115, PTH211
from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from orchestrator.core.refs import parse_folder
from orchestrator.errors import UnsafeError
from orchestrator.oserrors import on_disk
from orchestrator.store.moved import refuse_foreign_link
from orchestrator.system import processes


def scratch(stage: Path) -> Path:
    """A fresh name in the stage; `Staging.litter` knows what a crash leaves there."""
    return stage / processes.scratch_name()


def drop(path: Path) -> None:
    """Remove a scratch file, if there is one and that is possible: the next run sweeps."""
    with contextlib.suppress(OSError):
        path.unlink()


def sweep_scratch(folder: Path) -> None:
    """Remove the scratch files of runs that were killed. For folders other than the stage, which has its own sweep.

    What cannot be removed, such as another user's, stays.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob("scratch-*"):
            if processes.is_left_behind(path):
                drop(path)


def write_file(target: Path, content: str | bytes, stage: Path, *, mode: int = 0o666, durable: bool = True) -> None:
    """Make `target` hold `content`, in one step; `mode` is narrowed by the umask. Its folder must exist.

    With `durable` the content is on the disk before the name is there. Raises what `oserrors` says.
    """
    temporary = scratch(stage)
    with on_disk("write", target):
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(fd, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            drop(temporary)
            raise


def write_link(link: Path, to: str, stage: Path) -> bool:
    """Make `link` a symlink to the text `to`; True when that changed something. Its folder must exist.

    What lies there is replaced in one step; a folder there is an error. Raises OSError, untranslated: the caller
    falls back when the file system knows no symlinks.
    """
    try:
        os.symlink(to, link)
    except FileExistsError:
        if _read_link(link) == to:
            return False
        temporary = scratch(stage)
        os.symlink(to, temporary)
        try:
            os.replace(temporary, link)
        except BaseException:
            drop(temporary)
            raise
    return True


def make_folder(root: Path, folder: Path) -> list[Path]:
    """Make `folder`, which lies below the existing folder `root`; returns the folders in which a name was added.

    Raises UnsafeError when a part between them is a symlink: it was planted, or leads where we must not write. Only a
    repo folder may be one (see `moved`).
    """
    changed = []
    at = root
    for part in folder.relative_to(root).parts:
        above, at = at, at / part
        with on_disk("create", at):
            try:
                found = os.lstat(at)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(at)
                    changed.append(above)
                found = os.lstat(at)
        if above == root and parse_folder(part):
            refuse_foreign_link(at, root)
        else:
            refuse_link(at, found)
    return changed


def refuse_link(folder: Path, found: os.stat_result | None = None) -> None:
    """Raise UnsafeError when `folder` is a symlink. A folder that does not exist is fine."""
    if found is None:
        try:
            found = os.lstat(folder)
        except FileNotFoundError:
            return
        except OSError:
            found = None
    if found is not None and stat.S_ISLNK(found.st_mode):
        raise UnsafeError(
            f"{os.fspath(folder)!r} is a symlink; nothing is read or written through it",
            hint="remove it, or bind-mount the other place there; --cache-dir itself may be a symlink",
            file=str(folder),
        )


def _read_link(link: Path) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None
