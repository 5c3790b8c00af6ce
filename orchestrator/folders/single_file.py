"""A single verified file in a folder of the user's choice, outside any cache."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from orchestrator.core.files import RepoFile
from orchestrator.disk.atomic import drop, open_root, scratch, sweep_scratch
from orchestrator.disk.copies import clone_or_copy
from orchestrator.disk.durability import sync_files, sync_folders
from orchestrator.proof.hashing import hash_file
from orchestrator.proof.verified import VerifiedFile
from orchestrator.system.failures import on_disk


def is_there(target: Path, file: RepoFile, *, stop: threading.Event | None = None) -> bool:
    """True when `target` is a regular file with the right bytes; all of them are read. Raises DiskIOError."""
    try:
        found = os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
        return False
    return hash_file(target, file.digest.algorithm, size=file.size, stop=stop) == file.digest


def place_single(verified: VerifiedFile, target: Path) -> None:
    """Put the file at `target` in one step, replacing what is there; the staged file is gone then.

    Durable when it returns. Raises IntegrityError when the file changed since it was verified, CannotCreateError,
    NoSpaceError, DiskIOError.
    """
    verified.recheck()
    with open_root(target.parent) as folder:
        sweep_scratch(folder.held)
        copy = scratch(folder.held)
        try:
            clone_or_copy(verified.path, copy)
            sync_files([copy])
            with on_disk("place", target):
                folder.replace(copy, target.name)
        finally:
            drop(copy)
        sync_folders(folder, [folder.path])
    with on_disk("remove", verified.path):
        verified.path.unlink(missing_ok=True)
