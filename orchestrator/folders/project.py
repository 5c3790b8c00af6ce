"""A folder with models made from the cache: the files of one revision in a layout, and a book that says what they are.

What lies in the folder already is never replaced, unless our book says that we put it there and it was not changed
since. Files go in one by one, each in one step, and the book last; what a stopped run left is put right by the next,
which finds the same bytes and keeps them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.trust import Trust
from orchestrator.disk.atomic import (
    drop,
    make_aside,
    make_folder,
    open_root,
    refuse_link,
    scratch,
    sweep_scratch,
    write_file,
)
from orchestrator.disk.conflicts import in_the_way, make_room, refuse_folders, refuse_strange
from orchestrator.disk.copies import Mode, make
from orchestrator.disk.durability import sync_files, sync_folders
from orchestrator.disk.folders import Folder
from orchestrator.folders.book import BOOK_MODE, Book, Piece, PlaceState
from orchestrator.layouts.interface import OWN, Arrangement, ModelFiles
from orchestrator.proof.hashing import halt
from orchestrator.system.failures import on_disk


@dataclass(frozen=True, slots=True)
class Project:
    """A model and its place in a folder. `layout` is the name of the layout, `version` that of this program."""

    ref: str
    model: ModelFiles
    trust: Trust | None
    layout: str
    arrangement: Arrangement
    version: str


@dataclass(frozen=True, slots=True)
class Linked:
    """A piece, and how it came into the folder; `is_new` is False when it was there already.

    `mode` is None for what a dry run would put there.
    """

    piece: Piece
    mode: Mode | None
    is_new: bool


def make_project(
    folder: Path,
    project: Project,
    mode: Mode,
    *,
    force: bool = False,
    dry_run: bool = False,
    stop: threading.Event | None = None,
) -> tuple[Linked, ...]:
    """Make or update the model in `folder`, which the user named. Durable when it returns.

    Files of an older revision that we put there go. Raises CannotCreateError before anything is written when something
    else lies at a place (unless `force`), or when the file system cannot do what `mode` asks for; UnsafeError for
    symlinked folders, and where others could exchange files on their way; NoSpaceError, Interrupted. A dry run finds
    out the same, and writes nothing.
    """
    top, inside = Path(os.path.realpath(folder)), project.arrangement.inside
    root = top / inside
    for way in (root, *root.parents)[: len(PurePath(inside).parts)]:
        refuse_link(way)
    pieces = _pieces(project)
    book = Book(root, project.arrangement.book)
    wanted = tuple(piece.place for piece in pieces)
    obstacles = in_the_way(root, wanted)
    known = {piece.place: book.state(piece, mode, stop) for piece in pieces}
    foreign = [path for path in obstacles if not book.is_as_left(path)]
    refuse_folders(root, wanted, foreign)
    strange = [*foreign, *(place for place, state in known.items() if state is PlaceState.STRANGE)]
    if not force:
        book.refuse_of_others(strange)
        refuse_strange(root, strange, "folder")
    if dry_run:
        modes = {place: _mode(state) for place, state in known.items()}
        return tuple(Linked(piece, modes[piece.place], modes[piece.place] is None) for piece in pieces)
    with _opened(top, inside) as opened:
        own, made = make_aside(opened, OWN)
        with own:
            touched = set(made)
            sweep_scratch(own.held)
            touched |= make_room(opened, wanted, obstacles)
            done: list[Linked] = []
            for piece in pieces:
                halt(stop)
                there = _mode(known[piece.place])
                if there is not None:
                    done.append(Linked(piece, there, False))
                    continue
                at, made = make_folder(opened, PurePath(piece.place).parent)
                with at:
                    done.append(Linked(piece, _put(at, own, piece, mode), True))
                touched.update([*made, at.path])
            for place in book.leftovers(set(wanted), project.arrangement.swept):
                with on_disk("remove", root / place), opened.beneath(PurePath(place).parent) as at:
                    at.unlink(PurePath(place).name, missing_ok=True)
                touched.add(at.path)
            text = json.dumps(_metadata(root, project, done), indent=1, ensure_ascii=False) + "\n"
            if book.changes(text):
                at, made = make_folder(opened, PurePath(project.arrangement.book).parent)
                with at:
                    write_file(root / project.arrangement.book, text, own.held, mode=BOOK_MODE, folder=at)
                touched.update([*made, at.path])
        sync_folders(opened, touched)
    return tuple(done)


@contextlib.contextmanager
def _opened(top: Path, inside: str) -> Iterator[Folder]:
    """The folder `inside` the one that the user named, open, through no symlink, made where it is missing."""
    with open_root(top) as named:
        folder, made = make_folder(named, inside)
        with folder:
            yield folder
        sync_folders(named, made)


def _pieces(project: Project) -> tuple[Piece, ...]:
    """All pieces, each place once: files with the same bytes may share one."""
    files = {item.file.path: item for item in project.model.files}
    project.arrangement.refuse_wrong({path: item.file.digest for path, item in files.items()})
    found: dict[str, Piece] = {}
    for path, place in project.arrangement.places:
        file = files[path].file
        found.setdefault(place, Piece(path, place, file.size, file.digest, files[path].real, file.is_lfs))
    for place, content in project.arrangement.beside:
        digest = Digest(Algorithm.SHA256, hashlib.sha256(content).hexdigest())
        found[place] = Piece("", place, len(content), digest, content)
    return tuple(found.values())


def _mode(state: PlaceState | Mode) -> Mode | None:
    return state if isinstance(state, Mode) else None


def _put(folder: Folder, own: Folder, piece: Piece, mode: Mode) -> Mode:
    name = PurePath(piece.place).name
    if isinstance(piece.source, bytes):
        write_file(folder.path / name, piece.source, own.held, folder=folder)
        return Mode.COPY
    # What git keeps as text is small, and people edit it: that must not reach the cache unless they asked for it.
    chosen = Mode.AUTO if mode is Mode.SHARE and not piece.is_lfs else mode
    temporary = scratch(own.held)
    used = make(chosen, piece.source, temporary)
    try:
        if used in (Mode.COPY, Mode.REFLINK):
            sync_files([temporary])
        with on_disk("place", folder.path / name):
            folder.replace(temporary, name)
    finally:
        # Also after success: renaming one name of a file over another of the same file leaves both.
        drop(temporary)
    return used


def _metadata(root: Path, project: Project, done: Sequence[Linked]) -> dict[str, object]:
    """The content of the book: what lies where, and where it came from."""
    return {
        "schema": Book.SCHEMA,
        "ref": project.ref,
        "repo": project.model.repo.url_path,
        "commit": project.model.commit,
        "source": project.trust.source if project.trust else None,
        "trust": project.trust.level if project.trust else None,
        "layout": project.layout,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {"glm-aria": project.version},
        "files": [_entry(root, item) for item in done],
    }


def _entry(root: Path, item: Linked) -> dict[str, object]:
    piece = item.piece
    return {
        "path": piece.path,
        "place": piece.place,
        "size": piece.size,
        "digest": str(piece.digest),
        "mode": item.mode.value if item.mode else None,
        "mtime_ns": os.lstat(root / piece.place).st_mtime_ns,
    }
