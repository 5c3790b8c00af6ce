"""Repair of a corrupt blob: a copy gets the right bytes, is verified as a whole, and replaces the old one.

The blob is never edited where it lies: a hard link may share its bytes, and a reader may have them open.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.cache.moved import open_cache_folder
from orchestrator.core.files import Digest
from orchestrator.disk.atomic import drop, scratch, scratch_folder
from orchestrator.disk.copies import clone_or_copy
from orchestrator.disk.durability import sync_files, sync_folders
from orchestrator.disk.file_stat import StatLike
from orchestrator.disk.locks import Patience, blob_lock
from orchestrator.platform.users import give_to_group
from orchestrator.proof.hashing import OnBytes
from orchestrator.proof.pieces import Pieces, Range
from orchestrator.proof.verified import VerifiedFile, verify
from orchestrator.system.failures import on_disk

FetchPiece = Callable[[int, int, bytes], bytes]
"""Given the first byte, the end and the xxh3_128 of a piece: its bytes, which have that hash. Raises GlmAriaError."""


def mended_copy(  # noqa: PLR0913, PLR0917 - what, of what, to what
    blob: Path,
    digest: Digest,
    pieces: Pieces,
    ranges: Sequence[Range],
    fetch: FetchPiece,
    stage: Path,
    *,
    stop: threading.Event | None = None,
    on_bytes: OnBytes | None = None,
) -> VerifiedFile:
    """A verified copy of the corrupt `blob` in the stage, with its `ranges` fetched again, piece by piece.

    Nothing is left behind after an error. Raises IntegrityError when the whole is still wrong, Interrupted,
    NoSpaceError and its like, and what `fetch` raises.
    """
    copy = scratch(stage)
    try:
        clone_or_copy(blob, copy)
        with on_disk("write", copy), copy.open("r+b") as file:
            file.truncate(pieces.size)
            for index in range(pieces.count):
                start, end = pieces.range(index)
                if any(first < end and start < last for first, last in ranges):
                    data = fetch(start, end, pieces.hash(index))
                    file.seek(start)
                    file.write(data)
        return verify(copy, digest, pieces.size, stop=stop, on_bytes=on_bytes)
    except BaseException:
        drop(copy)
        raise


def put_back(
    cache_dir: Path,
    verified: VerifiedFile,
    places: Sequence[tuple[Path, StatLike, Path]],
    stage: Path,
    patience: Patience,
) -> list[tuple[Path, os.stat_result]]:
    """Replace each corrupt file by the staged, verified one; all of them then share its bytes.

    A place is a path in the cache, the stat of what was found rotten there, and the lock of it. One where another file
    lies by now is left alone. Returns the places that it took, with their new stat; all is durable. The staged file is
    gone. Raises UnsafeError for a symlink on the way to a place.
    """
    taken: list[tuple[Path, os.stat_result]] = []
    root = open_cache_folder(cache_dir)
    try:
        with on_disk("sync", verified.path):
            aside = scratch_folder(root, stage)
            verified.recheck()
            verified.path.chmod(stat.S_IMODE(places[0][1].st_mode))
        sync_files([verified.path])
        for index, (path, seen, lock) in enumerate(places):
            inside = path.parent.relative_to(cache_dir)
            with on_disk("place", path), blob_lock(lock, patience), root.beneath(inside) as folder:
                now = folder.lstat(path.name)
                if (now.st_ino, now.st_mtime_ns, now.st_size) != (seen.st_ino, seen.st_mtime_ns, seen.st_size):
                    continue
                with contextlib.suppress(PermissionError):
                    give_to_group(verified.path, now.st_gid)
                at = root.aside(inside.parts[0]) or aside
                is_last = index == len(places) - 1 and at == stage
                another = verified.path if is_last else _another(verified.path, scratch(at))
                folder.replace(another, path.name)
                taken.append((path, folder.lstat(path.name)))
        sync_folders(root, (path.parent for path, _ in taken))
    finally:
        root.close()
        drop(verified.path)
    return taken


def _another(file: Path, name: Path) -> Path:
    """Another name for the file; where there are no hard links, a copy."""
    try:
        os.link(file, name, follow_symlinks=False)
    except OSError:
        clone_or_copy(file, name)
        sync_files([name])
    return name
