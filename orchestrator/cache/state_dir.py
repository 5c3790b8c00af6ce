"""Our own folder: parts, records, proofs. On the cache's volume, since a blob gets into place by rename; mode 0700.

A cache that may be read but not written has no place for it. Then what is only read with it, and what is remembered of
the cache for the next run, lies in a place of the user's own, or nowhere.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path

from orchestrator.cache.layout import STATE_NAME, CacheLayout
from orchestrator.cache.moved import refuse_foreign_link
from orchestrator.core.refs import Ref, as_word
from orchestrator.disk import places
from orchestrator.disk.access import OURS, OURS_ALONE, OURS_TO_WRITE
from orchestrator.disk.folders import exposed_above, hold
from orchestrator.errors import CannotCreateError, GlmAriaError
from orchestrator.platform.lacking import HAS_FOLDERS, need_folders
from orchestrator.platform.users import user_id, user_name
from orchestrator.system.failures import denied, is_closed, is_read_only, mending, translate

_PARTS = ("stage", "repos", "proofs")
NOWHERE = Path(os.devnull, STATE_NAME)
"""Stands for a folder where there can be none: nothing is in it, and nobody can put anything there."""


def open_state_dir(layout: CacheLayout) -> Path:
    """The state folder through which files get into this cache, made with its sub-folders.

    The first of the candidates that is ours and on the cache's volume. Where others may exchange a folder above it, as
    in a cache that a group shares on purpose, the path is one that stays with the folder (see `folders.hold`); where
    the system has no such path, the candidate is passed over. When all were passed over, or are somebody else's, the
    user's own place serves, and files are copied into the cache. Raises CannotCreateError (or per `system.failures`)
    when none can be made, for the one that is easiest to mend; UnsupportedError where the system allows none.
    """
    need_folders()
    failed: list[tuple[Path, OSError]] = []
    for candidate in _candidates(layout):
        try:
            _make(layout, candidate)
            place = _unexchanged(candidate) if _is_usable(layout, candidate) else None
            if place is not None:
                _make_parts(place)
                return place
            reason = OSError(errno.EACCES, "not a folder of ours on the volume of the cache", os.fspath(candidate))
            failed.append((candidate, reason))
        except OSError as error:
            failed.append((candidate, error))
    own = _own_place(layout)
    if own is not None and all(os.path.lexists(candidate) for candidate in layout.state_candidates):
        with contextlib.suppress(OSError):
            _make_parts(own)
            if _is_ours(own) and (place := _unexchanged(own)) is not None:
                return place
    raise _refusal(layout, failed)


def find_state_dir(layout: CacheLayout, *, create: bool = False) -> Path:
    """The state folder for readers of the cache, who record what they saw; never raises.

    With `create` it is made, in the user's own place where it cannot lie beside the cache; else nothing is written,
    and the path need not exist. What belongs to somebody else is never returned; NOWHERE, when there is no place.
    """
    if not HAS_FOLDERS:
        return NOWHERE
    if create:
        with contextlib.suppress(GlmAriaError):
            return open_state_dir(layout)
    candidates = _candidates(layout)
    for fits in (lambda candidate: _is_usable(layout, candidate), _is_ours):
        for candidate in candidates:
            with contextlib.suppress(OSError):
                if fits(candidate) and (place := _unexchanged(candidate)) is not None:
                    return place
    own = _own_place(layout)
    if create and own is not None:
        with contextlib.suppress(OSError):
            _make_parts(own)
            if _is_ours(own) and (place := _unexchanged(own)) is not None:
                return place
    beside = layout.state_candidates[0]
    return NOWHERE if create or os.path.lexists(beside) else beside


def _unexchanged(folder: Path) -> Path | None:
    """A path that leads to our folder only, even if others may write above it; None if there is none.

    Raises OSError.
    """
    return folder if exposed_above(folder) is None else hold(folder)


def refuse_closed(layout: CacheLayout, ref: Ref) -> None:
    """See `HfCache.refuse_closed`."""
    folder = layout.repo_dir(ref.repo)
    refuse_foreign_link(folder, layout.cache_dir)
    for place in (folder / "blobs", folder / "snapshots"):
        if not is_closed(place / "new"):
            continue
        at = denied(place / "new")
        whose = "on a read-only file system"
        if not is_read_only(at):
            whose = f"a folder of {user_name(Path(at).stat().st_uid)} that {user_name(user_id())} may not write to"
        raise CannotCreateError(
            f"{ref} has to be fetched, and {at!r} is {whose}; nothing was fetched",
            hint=mending(at, f"take a cache of your own: glm-aria pull {as_word(ref)} --cache-dir DIR"),
            file=at,
        )
    open_state_dir(layout)


def refuse_nowhere(layout: CacheLayout, state_dir: Path) -> None:
    """Raise what `open_state_dir` says where NOWHERE stands for the state folder."""
    if state_dir == NOWHERE:
        open_state_dir(layout)


def _candidates(layout: CacheLayout) -> tuple[Path, ...]:
    own = _own_place(layout)
    return (*layout.state_candidates, own) if own is not None else layout.state_candidates


def _own_place(layout: CacheLayout) -> Path | None:
    """The user's own state folder for a read-only cache; None for a user without a home."""
    name = hashlib.sha256(os.fsencode(layout.cache_dir)).hexdigest()[:16]
    folder = places.cache_folder()
    return folder / STATE_NAME / "caches" / name if folder else None


def _refusal(layout: CacheLayout, failed: list[tuple[Path, OSError]]) -> GlmAriaError:
    """The error for a closed folder: of the cache, if that is the cause, not of a folder above it."""
    errors = [translate(error, "create", candidate) for candidate, error in failed]
    if all(isinstance(error, CannotCreateError) for error in errors):
        culprits = [(Path(denied(candidate)), error) for candidate, error in failed]
        inside = [found for found in culprits if found[0].is_relative_to(layout.cache_dir)]
        if inside:
            culprit, error = min(inside, key=lambda found: len(found[0].parts))
            return translate(OSError(errno.EACCES, error.strerror, os.fspath(culprit)), "write to", culprit)
    return errors[0]


def _make(layout: CacheLayout, candidate: Path) -> None:
    if candidate.is_dir():
        return
    layout.cache_dir.mkdir(parents=True, exist_ok=True)
    existed = os.path.lexists(candidate)
    # The user's own place lies deeper than the others, in folders that may not be there.
    candidate.parent.mkdir(parents=True, exist_ok=True)
    candidate.mkdir(mode=0o700, exist_ok=True)
    if not existed and not _is_usable(layout, candidate):
        candidate.rmdir()


def _make_parts(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in _PARTS:
        (folder / part).mkdir(mode=0o700, exist_ok=True)


def _is_usable(layout: CacheLayout, candidate: Path) -> bool:
    """Is it ours, and can a file get from there into the cache by a rename?"""
    return _is_ours(candidate) and layout.cache_dir.exists() and _on_one_volume(candidate, layout.cache_dir)


def _is_ours(candidate: Path) -> bool:
    """Is it a folder of this user, which no other one can write to?"""
    try:
        found = candidate.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not (stat.S_ISDIR(found.st_mode) and OURS.holds(found)):
        return False
    if not OURS_ALONE.holds(found):
        try:
            candidate.chmod(0o700)
        except OSError:
            # On a read-only file system nobody else can have written to it.
            return OURS_TO_WRITE.holds(found)
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
