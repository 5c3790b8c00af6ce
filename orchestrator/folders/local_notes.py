"""huggingface_hub's notes about a local folder (`_local_folder.py`), which we keep as it does.

.cache/huggingface/.gitignore (`*`), CACHEDIR.TAG, trees/<commit>.json
.cache/huggingface/download/<path>.metadata = commit, etag, time: a line each
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path, PurePath

from orchestrator.cache.publishing import CACHEDIR_TAG
from orchestrator.cache.trees import holds, listed, render
from orchestrator.core.files import RepoFile
from orchestrator.disk.atomic import make_aside, make_folder, sweep_scratch, write_file
from orchestrator.disk.folders import Folder
from orchestrator.errors import CannotCreateError
from orchestrator.system.small_files import read_small

PLACE = ".cache/huggingface"
"""The folder of the notes, below that which they are about."""
_LONGEST = 4096
# What makes a note impossible beside a name of the model's: ours is longer by nine bytes, and may be taken.
_NO_ROOM = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR}


@dataclass(frozen=True, slots=True)
class Note:
    """A note on a placed file: its commit, its etag, and the time of the note, in unix seconds."""

    commit: str
    etag: str
    written: float


class LocalNotes:
    """The notes of the folder `root`, as they are and as they are made for `commit`."""

    def __init__(self, root: Path, commit: str) -> None:
        self._root = root
        self._commit = commit
        self._listed: dict[str, dict[str, tuple[str, int]]] = {}
        self._opened: Folder | None = None
        self.folder = root / PLACE

    def open(self, opened: Folder, made: list[Path]) -> Folder:
        """Make and open their folder below the open folder that they are about; what they note goes there from now on.

        The folders in which a name was added are appended to `made`.
        """
        self._opened, more = make_aside(opened, PLACE)
        made += more
        sweep_scratch(self._opened.held)
        for name, text in (("CACHEDIR.TAG", CACHEDIR_TAG), (".gitignore", "*")):
            if not (self.folder / name).exists():
                self._write(name, text)
        return self._opened

    def read(self, path: str) -> Note | None:
        """The note about a path; None when there is none that can be read."""
        try:
            commit, etag, written = read_small(self._file(path), _LONGEST).decode().split("\n")[:3]
            return Note(commit, etag, float(written))
        except (OSError, ValueError):
            return None

    def confirms(self, file: RepoFile, found: os.stat_result) -> bool:
        """True when they say that this content was put there, and the file was not written to since."""
        note = self.read(file.path)
        return note is not None and note.etag == file.blob_name and _is_as_noted(found, note, file.size)

    def know(self, path: str, found: os.stat_result) -> bool:
        """True when they say that this file, whatever it is, was put there and not written to since."""
        note = self.read(path)
        if note is None or "/" in note.commit:
            return False
        if note.commit not in self._listed:
            self._listed[note.commit] = listed(self._tree(note.commit))
        etag, size = self._listed[note.commit].get(path, ("", -1))
        return etag == note.etag and _is_as_noted(found, note, size)

    def enter(self, file: RepoFile) -> None:
        """Note that the file lies there. Where its name leaves no room for a note, there is none."""
        found, note = os.lstat(self._root / file.path), self.read(file.path)
        if note is not None and note.commit == self._commit and self.confirms(file, found):
            return
        # A file server's clock may be ahead of ours.
        now = max(time.time(), found.st_mtime)
        try:
            self._write(f"download/{file.path}.metadata", f"{self._commit}\n{file.blob_name}\n{now}\n")
        except CannotCreateError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _NO_ROOM:
                raise

    def forget(self, path: str) -> None:
        """Take back the note about a path, where that is possible. Raises UnsafeError for a symlink on the way."""
        note = PurePath("download", f"{path}.metadata")
        with contextlib.suppress(OSError), self._place().beneath(note.parent) as folder:
            folder.unlink(note.name)

    def list_tree(self, entries: dict[str, dict[str, str | int]]) -> None:
        """Keep the whole listing of the commit."""
        if not holds(self._tree(self._commit), entries):
            self._write(f"trees/{self._commit}.json", render(entries))

    def _write(self, inside: str, text: str) -> None:
        place = self._place()
        folder, _ = make_folder(place, PurePath(inside).parent)
        with folder:
            name = PurePath(inside).name
            write_file(folder.path / name, text, place.held, durable=False, folder=folder)

    def _place(self) -> Folder:
        if self._opened is None:
            raise AssertionError("open() first")
        return self._opened

    def _tree(self, commit: str) -> Path:
        return self.folder / "trees" / f"{commit}.json"

    def _file(self, path: str) -> Path:
        return self.folder / "download" / f"{path}.metadata"


def _is_as_noted(found: os.stat_result, note: Note, size: int) -> bool:
    # huggingface_hub allows the same second.
    return stat.S_ISREG(found.st_mode) and found.st_size == size and found.st_mtime - 1 <= note.written
