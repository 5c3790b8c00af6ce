"""Our book of a model in a folder: what we put where, by which tell-tale, so that we touch nothing else."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from orchestrator.core.files import Digest
from orchestrator.core.names import check_path
from orchestrator.disk.access import belongs_to_others, others_who_may_write
from orchestrator.disk.conflicts import in_the_way, look_at
from orchestrator.disk.copies import Mode
from orchestrator.disk.state_file import UNREADABLE
from orchestrator.errors import CannotCreateError, GlmAriaError
from orchestrator.layouts.interface import OWN
from orchestrator.proof.hashing import hash_file
from orchestrator.system.small_files import RECORD_BYTES, read_small

BOOK_MODE = 0o644
"""Nobody but us may write to it, whatever the umask: it says which files may be removed."""
_APART = (Mode.COPY, Mode.REFLINK)


@dataclass(frozen=True, slots=True)
class Piece:
    """A thing that lies in the folder: a file of the model, or what its program wants beside it, whose path is ""."""

    path: str
    place: str
    size: int
    digest: Digest
    source: Path | bytes
    is_lfs: bool = False


class PlaceState(StrEnum):
    """The state of a place that is not right as it is."""

    ABSENT = "absent"
    OURS = "ours"
    STRANGE = "strange"


class Book:
    """The book at the place `book` of the folder `root`, as the last run left it.

    One that others may have written counts as absent: it would say that files of the user's are ours to remove.
    """

    SCHEMA: ClassVar = "glm-aria-folder/1"

    def __init__(self, root: Path, book: str) -> None:
        self._root = root
        self._path = root / book
        self._old = self._read(self._path, judge=lambda found: _refuse_of_others(found, self._path))
        self._entries = {str(entry["place"]): entry for entry in self._old.get("files", ())}

    def state(self, piece: Piece, mode: Mode, stop: threading.Event | None) -> PlaceState | Mode:
        """The state of a place, or the mode by which it is right already."""
        place, source = piece.place, piece.source
        path = self._root / place
        found = look_at(path)
        # Of a folder, what is in it decides.
        if found is None or stat.S_ISDIR(found.st_mode):
            return PlaceState.ABSENT
        as_left = self._as_we_left_it(place, found)
        if self._is_right(piece, found, as_left, stop):
            used = Mode(self._entries[place]["mode"]) if as_left else Mode.COPY
            if stat.S_ISLNK(found.st_mode):
                used = Mode.SYM
            elif isinstance(source, Path) and os.path.samestat(found, source.stat()):
                used = Mode.HARD
            if isinstance(source, bytes) or _suits(used, mode):
                return used
            # Right, but made in another way than is asked for now, or by a run that was killed before it could say so;
            # the bytes are the same, so nothing is lost.
            return PlaceState.OURS
        return PlaceState.OURS if as_left else PlaceState.STRANGE

    def leftovers(self, wanted: set[str], swept: str) -> list[str]:
        """Places that we filled for another revision, that are as we left them, and that no other model has.

        What lies in the folder `swept` is left to its program.
        """
        found = []
        for place in self._entries.keys() - wanted - self._of_others.keys():
            if swept and place.startswith(f"{swept}/"):
                continue
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

    def refuse_of_others(self, strange: Iterable[str]) -> None:
        """Raise CannotCreateError for the first place where we put the file of another model."""
        for place in strange:
            if place in self._of_others:
                raise CannotCreateError(
                    f"{place!r} in {os.fspath(self._root)!r} is a file of {self._of_others[place]}; "
                    "nothing was changed",
                    hint="choose another folder, or replace that file with --force",
                    file=str(self._root / place),
                )

    def changes(self, text: str) -> bool:
        """False when the book says the same but for the time."""
        return {**json.loads(text), "made": None} != {**self._old, "made": None}

    @cached_property
    def _of_others(self) -> dict[str, str]:
        """The places that other books of this folder name, each with its model."""
        found: dict[str, str] = {}
        for path in sorted((self._root / OWN).glob("*.json")):
            if path != self._path:
                book = self._read(path)
                found |= {str(entry["place"]): str(book.get("repo")) for entry in book.get("files", ())}
        return found

    def _read(self, path: Path, judge: Callable[[os.stat_result], None] | None = None) -> dict[str, Any]:
        try:
            data = json.loads(read_small(path, RECORD_BYTES, judge=judge))
            if data["schema"] != self.SCHEMA:
                return {}
            for entry in data["files"]:
                check_path(entry["place"])
                Mode(entry["mode"])
                numbers = (entry["size"], entry["mtime_ns"])
                if not all(isinstance(number, int) for number in numbers) or not isinstance(entry["digest"], str):
                    return {}
            return dict(data)
        except UNREADABLE:
            return {}

    def _as_we_left_it(self, place: str, found: os.stat_result) -> bool:
        entry = self._entries.get(place)
        if entry is None or entry["mtime_ns"] != found.st_mtime_ns:
            return False
        return stat.S_ISLNK(found.st_mode) or entry["size"] == found.st_size

    def _is_right(self, piece: Piece, found: os.stat_result, as_left: bool, stop: threading.Event | None) -> bool:
        path = self._root / piece.place
        if stat.S_ISLNK(found.st_mode):
            return path.readlink() == piece.source
        if not stat.S_ISREG(found.st_mode) or found.st_size != piece.size:
            return False
        if as_left and not belongs_to_others(found):
            return bool(self._entries[piece.place]["digest"] == str(piece.digest))
        return hash_file(path, piece.digest.algorithm, size=piece.size, stop=stop) == piece.digest


def _refuse_of_others(found: os.stat_result, path: Path) -> None:
    if reason := others_who_may_write(found, path):
        raise PermissionError(reason)


def _suits(used: Mode, asked: Mode) -> bool:
    match asked:
        case Mode.AUTO:
            return used in _APART
        case Mode.SHARE:
            return used in _APART or used is Mode.HARD
        case _:
            return used is asked
