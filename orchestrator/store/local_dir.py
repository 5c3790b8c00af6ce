"""`--local-dir`: a plain folder of the model's files, which the user may edit, kept as `hf download --local-dir` does.

The files are reflinks of the cache's blobs where the file system can, else copies. Never hard links: an edit would
reach into the cache. Bookkeeping is huggingface_hub's (`_local_folder.py`), so that its next run transfers nothing:

    .cache/huggingface/.gitignore (`*`), CACHEDIR.TAG, trees/<commit>.json
    .cache/huggingface/download/<path>.metadata = commit, etag, time: a line each
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import ResolvedModel
from orchestrator.oserrors import on_disk
from orchestrator.store.durability import sync_files, sync_folders
from orchestrator.store.hashing import halt, hash_file
from orchestrator.store.linking import Mode, make
from orchestrator.store.publishing import CACHEDIR_TAG
from orchestrator.store.trees import holds, model_entries, render
from orchestrator.store.writing import drop, make_folder, scratch, sweep_scratch, write_file


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of the wanted files: paths that were written, and paths that were right already."""

    written: tuple[str, ...]
    kept: tuple[str, ...]


def place_local(
    local_dir: Path,
    model: ResolvedModel,
    blobs: Mapping[Digest, Path],
    *,
    stop: threading.Event | None = None,
) -> Placed:
    """Make `local_dir` hold the model's wanted files; `blobs` are the proven files to take them from.

    A file whose metadata or content says that it is right already is kept; anything else under its name is replaced
    in one step. Other files in the folder stay. Durable when it returns. Raises UnsafeError when a folder in it is a
    symlink (`local_dir` itself may be one), NoSpaceError, CannotCreateError, DiskIOError, Interrupted.
    """
    root = Path(os.path.realpath(local_dir.expanduser()))
    with on_disk("create", root):
        root.mkdir(parents=True, exist_ok=True)
    books = _Books(root, model.commit)
    touched = set(books.open())
    fresh: list[tuple[RepoFile, Path]] = []
    kept: list[str] = []
    try:
        for file in model.wanted.files:
            halt(stop)
            touched.update(make_folder(root, (root / file.path).parent))
            if books.confirms(file) or _is_right(root / file.path, file, stop):
                kept.append(file.path)
                continue
            copy = scratch(books.folder)
            fresh.append((file, copy))
            make(Mode.AUTO, Path(os.path.realpath(blobs[file.digest])), copy)
        sync_files([copy for _, copy in fresh])
        for file, copy in fresh:
            target = root / file.path
            with on_disk("place", target):
                copy.replace(target)
            touched.add(target.parent)
    finally:
        for _, copy in fresh:
            drop(copy)
    for file in model.wanted.files:
        books.enter(file)
    entries = model_entries(model)
    if entries is not None:
        books.list_tree(entries)
    sync_folders(touched)
    return Placed(tuple(file.path for file, _ in fresh), tuple(kept))


class _Books:
    """huggingface_hub's notes about the folder."""

    def __init__(self, root: Path, commit: str) -> None:
        self._root = root
        self._commit = commit
        self.folder = root / ".cache" / "huggingface"

    def open(self) -> list[Path]:
        touched = make_folder(self._root, self.folder / "download")
        sweep_scratch(self.folder)
        for name, text in (("CACHEDIR.TAG", CACHEDIR_TAG), (".gitignore", "*")):
            if not (self.folder / name).exists():
                write_file(self.folder / name, text, self.folder, durable=False)
        return touched

    def confirms(self, file: RepoFile) -> bool:
        """True when the notes say that this content was put there, and the file was not written to since."""
        try:
            _, etag, written = self._note(file).read_text("utf-8").split("\n")[:3]
            found = os.lstat(self._root / file.path)
            # huggingface_hub allows the same second.
            return (
                stat.S_ISREG(found.st_mode)
                and etag == file.blob_name
                and found.st_size == file.size
                and found.st_mtime - 1 <= float(written)
            )
        except (OSError, ValueError):
            return False

    def enter(self, file: RepoFile) -> None:
        note = self._note(file)
        if self.confirms(file) and note.read_text("utf-8").split("\n")[0] == self._commit:
            return
        make_folder(self._root, note.parent)
        # A file server's clock may be ahead of ours.
        now = max(time.time(), os.lstat(self._root / file.path).st_mtime)
        write_file(note, f"{self._commit}\n{file.blob_name}\n{now}\n", self.folder, durable=False)

    def list_tree(self, entries: dict[str, dict[str, str | int]]) -> None:
        target = self.folder / "trees" / f"{self._commit}.json"
        if not holds(target, entries):
            make_folder(self._root, target.parent)
            write_file(target, render(entries), self.folder, durable=False)

    def _note(self, file: RepoFile) -> Path:
        return self.folder / "download" / f"{file.path}.metadata"


def _is_right(path: Path, file: RepoFile, stop: threading.Event | None) -> bool:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
        return False
    return hash_file(path, file.digest.algorithm, size=file.size, stop=stop) == file.digest
