"""Names of a listing that are odd: told, refused where the user wants portable names, tried on the disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from orchestrator.cache.layout import CacheLayout
from orchestrator.core.files import RepoFile
from orchestrator.core.names import Unportable, refuse_unportable, unportable
from orchestrator.core.plan import ResolvedModel
from orchestrator.disk.places import nearest
from orchestrator.disk.portable_names import can_hold
from orchestrator.errors import CannotCreateError, UnsafeError
from orchestrator.events import Emit, Notice
from orchestrator.system.failures import on_disk

_MOST_TRIALS = 200


def tell_oddities(model: ResolvedModel, emit: Emit, *, portable: bool) -> None:
    """Warn, once a kind, of what is unusual in a model's listing and no reason to refuse it.

    With `portable` names that some system cannot hold are refused with the whole listing: raises UnsafeError.
    """
    ref, wanted = str(model.ref), model.wanted
    if portable:
        refuse_unportable(file.path for file in model.tree.files)
    odd = unportable(file.path for file in wanted.files)
    if odd:
        message = f"{ref}: {odd[0].path!r} {odd[0].reason}{_more(len(odd))}; other systems cannot hold that"
        emit(Notice("not-portable", message, file=odd[0].path))
    if wanted.left_out:
        message = f"{ref}: {wanted.left_out[0]} is neither a file nor a folder{_more(len(wanted.left_out))}; skipped"
        emit(Notice("left-out", message, file=wanted.left_out[0].partition(" (")[0]))
    pointers = [file.path for file in wanted.files if not file.has_usual_pointer]
    if pointers:
        message = (
            f"{ref}: the LFS pointer of {pointers[0]!r} in git is not written as git-lfs does (CRLF, perhaps)"
            f"{_more(len(pointers))}; its bytes are verified by their sha256"
        )
        emit(Notice("odd-pointer", message, file=pointers[0]))


def refuse_what_disk_cannot_hold(model: ResolvedModel, layout: CacheLayout, local_dir: Path | None) -> None:
    """Try odd names on the disks where they will lie, before anything else is written.

    Raises UnsafeError for one that a disk cannot hold, or that it cannot hold beside another of the listing.
    """
    odd = unportable(file.path for file in model.wanted.files)
    # A cache that can only be read has what it has. Should something have to be written, that is told then.
    with contextlib.suppress(CannotCreateError):
        if odd and layout.cache_dir.is_dir():
            # The only folder of the cache in which its scanner minds no stranger.
            with on_disk("create", layout.locks_dir):
                layout.locks_dir.mkdir(exist_ok=True)
        _try(odd, layout.locks_dir)
    if local_dir is not None:
        _try(odd, local_dir)


def refuse_odd_names(files: Iterable[RepoFile], folder: Path) -> None:
    """Raise UnsafeError when the disk of `folder`, which may not exist yet, cannot hold the names of these files."""
    _try(unportable(file.path for file in files), folder)


def _try(names: tuple[Unportable, ...], folder: Path) -> None:
    tried: set[tuple[str, ...]] = set()
    for odd in names:
        if odd.trial in tried or len(tried) >= _MOST_TRIALS:
            continue
        tried.add(odd.trial)
        if not can_hold(nearest(folder), odd.trial):
            raise UnsafeError(
                f"{odd.path!r} {odd.reason}, and the disk of {str(folder)!r} cannot hold that; nothing was fetched",
                hint="skip it with --exclude, or choose a folder on another file system",
                file=odd.path,
            )


def _more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""
