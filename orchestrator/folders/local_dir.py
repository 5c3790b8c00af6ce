"""`--local-dir`: a plain folder of the model's files, which the user may edit, kept as `hf download --local-dir` does.

The files are reflinks of the cache's blobs where the file system can, else copies. Never hard links: an edit would
reach into the cache. Bookkeeping is huggingface_hub's, so that its next run transfers nothing (`local_notes.py`).

What lies in the folder is replaced only when nothing is lost by it: the notes say that it was put there and it is as it
was left, or its content is that of the notes or of the cache. All else is the user's, and `force` is needed.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from orchestrator.cache.proofs import Stamp, stamp
from orchestrator.cache.trees import model_entries
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.names import fold
from orchestrator.core.plan import ResolvedModel
from orchestrator.disk.access import belongs_to_others
from orchestrator.disk.atomic import drop, make_folder, open_root, scratch
from orchestrator.disk.conflicts import (
    in_the_way,
    look_at,
    make_room,
    refuse_closed,
    refuse_folders,
    refuse_no_folder,
    refuse_strange,
)
from orchestrator.disk.copies import Mode, make
from orchestrator.disk.durability import sync_files, sync_folders
from orchestrator.disk.folders import planted
from orchestrator.errors import UnsafeError
from orchestrator.folders.local_notes import PLACE, LocalNotes
from orchestrator.proof.hashing import halt, hash_file, read_both
from orchestrator.system.failures import on_disk

_SMALL = 16 << 20
"""Bytes of a file that is read before it is replaced, whatever its time says: people edit small ones."""
IsHeld = Callable[[Digest], bool]
"""True when the cache has these bytes, so that a copy of them may go."""


@dataclass(frozen=True, slots=True)
class LocalSurvey:
    """The state of a folder: `right` are paths with the wanted content, `in_the_way` files of ours that must go."""

    right: Mapping[str, Stamp] = field(default_factory=dict)
    in_the_way: tuple[str, ...] = ()


def survey_local(
    local_dir: Path,
    model: ResolvedModel,
    is_held: IsHeld,
    *,
    force: bool = False,
    no_links: bool = False,
    known: LocalSurvey | None = None,
    stop: threading.Event | None = None,
) -> LocalSurvey:
    """Look at the folder before anything is fetched or written; files that `known` found right are not read again.

    Raises CannotCreateError when something of the user's lies where a file has to be (with `force` only for a folder
    that holds such files), UnsafeError when a folder in it is a symlink (`local_dir` itself may be one) or a file of
    the model would lie among the notes, DiskIOError, Interrupted. `no_links` as `Item` has it.
    """
    root = _real(local_dir, no_links=no_links)
    refuse_no_folder(root)
    _refuse_notes(model)
    folder = _Folder(root, LocalNotes(root, model.commit), is_held, known or LocalSurvey(), stop)
    places = [file.path for file in model.wanted.files]
    ours = in_the_way(root, places)
    strange = [path for path in ours if not folder.is_ours(path)]
    refuse_folders(root, places, strange)
    right: dict[str, Stamp] = {}
    for file in model.wanted.files:
        halt(stop)
        found = look_at(root / file.path)
        if found is None or stat.S_ISDIR(found.st_mode):
            continue
        if folder.is_right(file, found):
            right[file.path] = stamp(found)
        elif not force and not folder.is_ours(file.path):
            strange.append(file.path)
    if not force:
        refuse_strange(root, strange, "--local-dir")
    if len(right) < len(model.wanted.files):
        refuse_closed(root)
    return LocalSurvey(right, ours)


def place_local(  # noqa: PLR0913 - all but three are conditions
    local_dir: Path,
    model: ResolvedModel,
    blobs: Mapping[Digest, Path],
    *,
    is_held: IsHeld = lambda _digest: False,
    force: bool = False,
    no_links: bool = False,
    known: LocalSurvey | None = None,
    stop: threading.Event | None = None,
) -> tuple[str, ...]:
    """Make `local_dir` hold the model's wanted files, taken from `blobs`, which are proven; the paths that it wrote.

    Each file is replaced in one step, after `survey_local`, whose errors this raises, too. Other files in the folder
    stay, but for those of another revision that lie in the way. Durable when it returns. Raises NoSpaceError,
    CannotCreateError, DiskIOError, Interrupted.
    """
    root = _real(local_dir, no_links=no_links)
    survey = survey_local(local_dir, model, is_held, force=force, no_links=no_links, known=known, stop=stop)
    notes, made = LocalNotes(root, model.commit), list[Path]()
    fresh: list[tuple[RepoFile, Path]] = []
    with open_root(root, no_links=no_links) as opened, notes.open(opened, made) as place:
        touched = set(made)
        try:
            for file in model.wanted.files:
                halt(stop)
                if file.path in survey.right:
                    continue
                copy = scratch(place.held)
                fresh.append((file, copy))
                make(Mode.AUTO, Path(os.path.realpath(blobs[file.digest])), copy)
            sync_files([copy for _, copy in fresh])
            touched |= make_room(opened, [file.path for file, _ in fresh], survey.in_the_way)
            for file, copy in fresh:
                folder, made = make_folder(opened, PurePath(file.path).parent)
                with folder, on_disk("place", root / file.path):
                    folder.replace(copy, PurePath(file.path).name)
                touched.update([*made, folder.path])
        finally:
            for _, copy in fresh:
                drop(copy)
        for path in survey.in_the_way:
            notes.forget(path)
        for file in model.wanted.files:
            notes.enter(file)
        entries = model_entries(model)
        if entries is not None:
            notes.list_tree(entries)
        sync_folders(opened, touched)
    return tuple(file.path for file, _ in fresh)


@dataclass(frozen=True, slots=True)
class _Folder:
    """The ownership of the files of a folder."""

    root: Path
    notes: LocalNotes
    is_held: IsHeld
    known: LocalSurvey
    stop: threading.Event | None

    def is_right(self, file: RepoFile, found: os.stat_result) -> bool:
        """True when the path holds the wanted content, by the notes or by its digest."""
        if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
            return False
        if not belongs_to_others(found) and self.notes.confirms(file, found):
            return True
        if self.known.right.get(file.path) == stamp(found):
            return True
        return hash_file(self.root / file.path, file.digest.algorithm, size=file.size, stop=self.stop) == file.digest

    def is_ours(self, path: str) -> bool:
        """True when nothing is lost by replacing what lies there, a file or a symlink to one."""
        place = self.root / path
        found = look_at(place)
        if found is None or (found.st_size > _SMALL and self.notes.know(path, found)):
            return True
        real = Path(os.path.realpath(place))
        if not real.is_file():
            return False
        digests, note = read_both(real, stop=self.stop), self.notes.read(path)
        is_noted = stat.S_ISREG(found.st_mode) and note is not None and note.etag in [digest.hex for digest in digests]
        return is_noted or any(map(self.is_held, digests))


def _real(local_dir: Path, *, no_links: bool) -> Path:
    real = Path(os.path.realpath(local_dir))
    if no_links and real != local_dir:
        raise planted(local_dir)
    return real


def _refuse_notes(model: ResolvedModel) -> None:
    for file in model.wanted.files:
        folded = fold(file.path)
        if folded == ".cache" or f"{folded}/".startswith(f"{PLACE}/"):
            raise UnsafeError(
                f"{file.path!r} would lie among the records that glm-aria keeps of the folder; nothing was written",
                hint=f"skip it with --exclude '{PLACE}/*', or leave --local-dir out",
                file=file.path,
            )
