"""Conflicts between a revision and a folder that holds another: a file of the one may be a folder of the other.

Whose a file is that lies in the way, the caller knows: only what we put there, and nobody edited, is to be removed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from orchestrator.disk.atomic import refuse_link
from orchestrator.disk.folders import Folder
from orchestrator.disk.places import nearest
from orchestrator.errors import CannotCreateError
from orchestrator.system.failures import is_closed, mending, on_disk


def in_the_way(root: Path, places: Iterable[str]) -> tuple[str, ...]:
    """Files below `root` that lie where a place needs a folder, or in a folder where a place needs to be a file.

    Paths relative to `root`, sorted. Raises UnsafeError when a folder on the way to a place is a symlink.
    """
    found: set[str] = set()
    seen: set[str] = set()
    for place in places:
        folder = ""
        for part in place.split("/")[:-1]:
            folder = f"{folder}/{part}" if folder else part
            if folder in seen:
                continue
            seen.add(folder)
            here = look_at(root / folder)
            if here is None:
                break
            refuse_link(root / folder, here)
            if not stat.S_ISDIR(here.st_mode):
                found.add(folder)
                break
        here = look_at(root / place)
        if here is not None and stat.S_ISDIR(here.st_mode):
            found.update(_files(root, place))
    return tuple(sorted(found))


def refuse_no_folder(root: Path) -> None:
    """Raise CannotCreateError when `root`, or what it is to lie in, is there and no folder."""
    at = nearest(root)
    if not at.is_dir():
        raise CannotCreateError(
            f"{os.fspath(at)!r} is not a folder; nothing was changed",
            hint="move it away, or choose another --local-dir",
            file=str(at),
        )


def refuse_closed(root: Path) -> None:
    """Raise CannotCreateError when this user may not make `root`, or anything in it."""
    if is_closed(root):
        raise CannotCreateError(
            f"{os.fspath(root)!r} cannot be written to; nothing was changed",
            hint=mending(root, "choose another --local-dir"),
            file=str(root),
        )


def refuse_folders(root: Path, places: Iterable[str], strange: Iterable[str]) -> None:
    """Raise CannotCreateError for a strange file in a folder where a place is: whole folders are never replaced."""
    wanted = set(places)
    for path in strange:
        above = next((str(folder) for folder in Path(path).parents if str(folder) in wanted), None)
        if above is not None:
            raise CannotCreateError(
                f"{above!r} must be a file in {os.fspath(root)!r}, but is a folder that holds {path!r}; "
                "nothing was changed",
                hint="move the folder away, then run it again",
                file=str(root / path),
            )


def refuse_strange(root: Path, strange: Sequence[str], other: str) -> None:
    """Raise CannotCreateError if a file that is not ours to replace lies where one of ours has to be.

    `other` are the words for another place, in the hint: "--local-dir".
    """
    if strange:
        more = f" and {len(strange) - 1} more" if strange[1:] else ""
        raise CannotCreateError(
            f"{strange[0]!r}{more} in {os.fspath(root)!r} was edited, or not made by glm-aria; nothing was changed",
            hint=f"move it away, choose another {other}, or replace it with --force",
            file=str(root / strange[0]),
        )


def make_room(root: Folder, places: Iterable[str], ours: Iterable[str]) -> set[Path]:
    """Remove `ours`, which `in_the_way` found, and the folders that are empty then and stand where a place is.

    Returns the folders in which names went. Raises CannotCreateError where something else is in a folder by now, and
    UnsafeError where one became a symlink.
    """
    touched: set[Path] = set()
    for path in map(PurePath, ours):
        with on_disk("remove", root.path / path), suppress(FileNotFoundError), root.beneath(path.parent) as at:
            at.unlink(path.name, missing_ok=True)
            touched.add(at.path)
    for place in map(PurePath, places):
        if (here := look_at(root.path / place)) is not None and stat.S_ISDIR(here.st_mode):
            with on_disk("remove", root.path / place), root.beneath(place.parent) as at:
                at.remove_empty(place.name)
                touched.add(at.path)
    return {folder for folder in touched if folder.is_dir()}


def look_at(path: Path) -> os.stat_result | None:
    """The stat of what lies there, a symlink itself; None when nothing does. Raises DiskIOError and its like."""
    with on_disk("look at", path):
        try:
            return os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None


def _files(root: Path, folder: str) -> tuple[str, ...]:
    with on_disk("look at", root / folder), Folder.open(root) as opened, opened.beneath(folder) as at:
        return tuple(f"{folder}/{path}" for path in at.files())
