"""A project folder made from the cache: the files of one revision in a layout, and a file that says what they are.

What lies in the folder already is never replaced, unless our metadata say that we put it there and it was not changed
since. Files go in one by one, each in one step, and the metadata last; what a stopped run left is put right by the
next, which finds the same bytes and keeps them.
"""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.names import check_path
from orchestrator.core.refs import RepoId
from orchestrator.core.trust import Trust
from orchestrator.disk.access import belongs_to_others
from orchestrator.disk.atomic import drop, make_folder, open_root, scratch, sweep_scratch, write_file
from orchestrator.disk.conflicts import in_the_way, look_at, make_room, refuse_folders, refuse_strange
from orchestrator.disk.copies import Mode, make
from orchestrator.disk.durability import sync_files, sync_folders
from orchestrator.disk.folders import Folder
from orchestrator.disk.state_file import UNREADABLE
from orchestrator.errors import GlmAriaError
from orchestrator.folders.layouts import OWN, Layout
from orchestrator.proof.hashing import halt, hash_file
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import RECORD_BYTES, read_small

SCHEMA = "glm-aria-folder/1"
_MODES = frozenset(mode.value for mode in Mode)


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file of the cache, proven: what it is, and where its bytes are."""

    file: RepoFile
    real: Path


@dataclass(frozen=True, slots=True)
class Project:
    """The content of a project folder. `version` is that of this program."""

    ref: str
    repo: RepoId
    commit: str
    trust: Trust | None
    files: tuple[ProjectFile, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Linked:
    """A file of the folder: its place in it, and how it came there; `is_new` is False when it was there already."""

    source: ProjectFile
    place: str
    mode: Mode
    is_new: bool


def make_project(
    folder: Path,
    project: Project,
    layout: Layout,
    mode: Mode,
    *,
    force: bool = False,
    stop: threading.Event | None = None,
) -> tuple[Linked, ...]:
    """Make or update the folder. Durable when it returns. Files of an older revision that we put there go.

    Raises CannotCreateError before anything is written when something else lies at a place (unless `force`), or when
    the file system cannot do what `mode` asks for; UnsafeError for symlinked folders; NoSpaceError, Interrupted.
    """
    root = Path(os.path.realpath(folder))
    places = layout.places(item.file.path for item in project.files)
    book = _Book(root, layout)
    wanted = tuple(places.values())
    obstacles = in_the_way(root, wanted)
    known = {place: book.state(item, place, mode, stop) for item, place in _pairs(project.files, places)}
    foreign = [path for path in obstacles if not book.is_as_left(path)]
    refuse_folders(root, wanted, foreign)
    strange = [*foreign, *(place for place, state in known.items() if state == "strange")]
    if not force:
        refuse_strange(root, strange, "folder")
    with open_root(root) as opened:
        own, made = make_folder(opened, OWN)
        with own:
            touched = set(made)
            sweep_scratch(own.held)
            touched |= make_room(opened, wanted, obstacles)
            done: list[Linked] = []
            for item, place in _pairs(project.files, places):
                halt(stop)
                if known[place] in _MODES:
                    done.append(Linked(item, place, Mode(known[place]), False))
                    continue
                at, made = make_folder(opened, PurePath(place).parent)
                with at:
                    done.append(Linked(item, place, _put(at, own, item, PurePath(place).name, mode), True))
                touched.update([*made, at.path])
            for place in book.leftovers(set(places.values())):
                with on_disk("remove", root / place), opened.beneath(PurePath(place).parent) as at:
                    at.unlink(PurePath(place).name, missing_ok=True)
                touched.add(at.path)
            text = json.dumps(book.metadata(project, done), indent=1, ensure_ascii=False) + "\n"
            if book.changes(text):
                at, made = make_folder(opened, PurePath(layout.metadata).parent)
                with at:
                    write_file(root / layout.metadata, text, own.held, folder=at)
                touched.update([*made, at.path])
        sync_folders(opened, touched)
    return tuple(done)


def _pairs(files: Sequence[ProjectFile], places: Mapping[str, str]) -> list[tuple[ProjectFile, str]]:
    return [(item, places[item.file.path]) for item in files]


def _put(folder: Folder, own: Folder, item: ProjectFile, name: str, mode: Mode) -> Mode:
    temporary = scratch(own.held)
    used = make(mode, item.real, temporary)
    try:
        if used in (Mode.COPY, Mode.REFLINK):
            sync_files([temporary])
        with on_disk("place", folder.path / name):
            folder.replace(temporary, name)
    finally:
        # Also after success: renaming one name of a file over another of the same file leaves both.
        drop(temporary)
    return used


class _Book:
    """Our metadata of a folder, as they were and as they will be."""

    def __init__(self, root: Path, layout: Layout) -> None:
        self._root = root
        self._layout = layout
        self._path = root / layout.metadata
        self._old = self._read()
        self._entries = {str(entry["place"]): entry for entry in self._old.get("files", ())}

    def state(self, item: ProjectFile, place: str, mode: Mode, stop: threading.Event | None) -> str:
        """The state of a place: `absent`, `ours` to be replaced, `strange`, or the mode by which it is right."""
        path = self._root / place
        found = look_at(path)
        # Of a folder, what is in it decides.
        if found is None or stat.S_ISDIR(found.st_mode):
            return "absent"
        with_mode = self._as_we_left_it(place, found)
        if self._is_right(item, path, found, with_mode, stop):
            used = Mode(self._entries[place]["mode"]) if with_mode else Mode.COPY
            if stat.S_ISLNK(found.st_mode):
                used = Mode.SYM
            elif os.path.samestat(found, item.real.stat()):
                used = Mode.HARD
            if mode in (used, Mode.AUTO) and (mode is not Mode.AUTO or used in (Mode.COPY, Mode.REFLINK)):
                return used
            # Right, but made in another way than is asked for now, or by a run that was killed before it could say so;
            # the bytes are the same, so nothing is lost.
            return "ours"
        return "ours" if with_mode else "strange"

    def leftovers(self, wanted: set[str]) -> list[str]:
        """Places that we filled for another revision and that are as we left them."""
        found = []
        for place in self._entries.keys() - wanted:
            try:
                in_the_way(self._root, [place])
                if self.is_as_left(place):
                    found.append(place)
            except GlmAriaError:
                continue
        return sorted(found)

    def is_as_left(self, place: str) -> bool:
        """True when we put a file there, and it is as we left it."""
        found = look_at(self._root / place)
        return found is not None and self._as_we_left_it(place, found)

    def metadata(self, project: Project, done: Sequence[Linked]) -> dict[str, Any]:
        """The present content of the metadata file."""
        return {
            "schema": SCHEMA,
            "ref": project.ref,
            "repo": project.repo.url_path,
            "commit": project.commit,
            "source": project.trust.source if project.trust else None,
            "trust": project.trust.level if project.trust else None,
            "layout": self._layout.name,
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": {"glm-aria": project.version},
            "files": [self._entry(item) for item in done],
        }

    def changes(self, text: str) -> bool:
        """False when the file says the same but for the time."""
        return {**json.loads(text), "made": None} != {**self._old, "made": None}

    def _entry(self, item: Linked) -> dict[str, Any]:
        found = os.lstat(self._root / item.place)
        file = item.source.file
        return {
            "path": file.path,
            "place": item.place,
            "size": file.size,
            "digest": str(file.digest),
            "mode": item.mode.value,
            "mtime_ns": found.st_mtime_ns,
        }

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(read_small(self._path, RECORD_BYTES))
            if data["schema"] != SCHEMA:
                return {}
            for entry in data["files"]:
                check_path(entry["place"])
                if not isinstance(entry["mtime_ns"], int):
                    return {}
                Mode(entry["mode"])
            return dict(data)
        except UNREADABLE:
            return {}

    def _as_we_left_it(self, place: str, found: os.stat_result) -> bool:
        entry = self._entries.get(place)
        if entry is None or entry["mtime_ns"] != found.st_mtime_ns:
            return False
        return stat.S_ISLNK(found.st_mode) or entry["size"] == found.st_size

    def _is_right(
        self, item: ProjectFile, path: Path, found: os.stat_result, as_left: bool, stop: threading.Event | None
    ) -> bool:
        digest: Digest = item.file.digest
        if stat.S_ISLNK(found.st_mode):
            return path.readlink() == item.real
        if not stat.S_ISREG(found.st_mode) or found.st_size != item.file.size:
            return False
        if as_left and not belongs_to_others(found):
            return bool(self._entries[path.relative_to(self._root).as_posix()]["digest"] == str(digest))
        return hash_file(path, digest.algorithm, size=item.file.size, stop=stop) == digest
