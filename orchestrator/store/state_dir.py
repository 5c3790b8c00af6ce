"""Our own folder: parts, records, proofs. On the cache's volume, since a blob gets into place by rename; mode 0700."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from orchestrator.errors import GlmAriaError
from orchestrator.store.layout import CacheLayout
from orchestrator.store.oserrors import translate

_PARTS = ("stage", "repos", "proofs")


def open_state_dir(layout: CacheLayout, *, create: bool = True) -> Path:
    """The state folder of this cache, made with its sub-folders when `create`.

    The first of `layout.state_candidates` that is ours and on the cache's volume. With `create=False` nothing is
    written, and where no state exists yet a path that does not exist is returned. Raises CannotCreateError (or what
    `oserrors` says) when none can be made; the error is that of the first candidate.
    """
    first: GlmAriaError | None = None
    for candidate in layout.state_candidates:
        try:
            if create:
                _make(layout, candidate)
            if _is_usable(layout, candidate):
                return candidate
            reason = OSError(errno.EACCES, "not a folder of ours on the volume of the cache", os.fspath(candidate))
            first = first or translate(reason, "use", candidate)
        except OSError as error:
            first = first or translate(error, "create", candidate)
    if not create:
        return layout.state_candidates[0]
    raise first or AssertionError("no candidates")


def _make(layout: CacheLayout, candidate: Path) -> None:
    if all((candidate / part).is_dir() for part in _PARTS):
        return
    layout.cache_dir.mkdir(parents=True, exist_ok=True)
    existed = os.path.lexists(candidate)
    candidate.parent.mkdir(exist_ok=True)
    candidate.mkdir(mode=0o700, exist_ok=True)
    if not _is_usable(layout, candidate):
        if not existed:
            candidate.rmdir()
        return
    for part in _PARTS:
        (candidate / part).mkdir(mode=0o700, exist_ok=True)


def _is_usable(layout: CacheLayout, candidate: Path) -> bool:
    try:
        found = candidate.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
        return False
    if not layout.cache_dir.exists() or not _on_one_volume(candidate, layout.cache_dir):
        return False
    if found.st_mode & 0o077:
        candidate.chmod(0o700)
    return True


def _on_one_volume(one: Path, other: Path) -> bool:
    """True when a file can be renamed from `one` to `other`.

    The device numbers do not tell it for a bind mount, such as a container's volume. Linux compares the mounts
    before it looks for the file, so renaming a name that does not exist says EXDEV there and ENOENT elsewhere,
    and never changes anything.
    """
    if one.stat().st_dev != other.stat().st_dev:
        return False
    name = f".no-such-file-{os.getpid()}"
    try:
        (one / name).rename(other / name)
    except OSError as error:
        return error.errno != errno.EXDEV
    return False
