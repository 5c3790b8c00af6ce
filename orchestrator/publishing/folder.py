"""The files of a folder that is pushed, and where they came from if it is a snapshot of the cache."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.names import is_git_folder
from orchestrator.core.refs import RepoId, is_commit, parse_folder
from orchestrator.disk.file_stat import Identity
from orchestrator.errors import IntegrityError, NotFoundError, UsageError
from orchestrator.platform.files import walk_paths
from orchestrator.system.failures import on_disk

# What programs keep for themselves in a folder of a model: huggingface_hub's notes, Python's and Jupyter's caches.
_NOT_OURS = frozenset({"__pycache__", ".ipynb_checkpoints"})
_NOTES = ".cache/huggingface"
_UNKNOWN = Digest(Algorithm.SHA256, "0" * 64)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of the folder: its path in the model, where its bytes lie, and the identity of these."""

    path: str
    place: Path
    identity: Identity

    @property
    def size(self) -> int:
        """Bytes."""
        return self.identity.size

    def refuse_change(self) -> None:
        """Raise IntegrityError when it is not the file that it was."""
        if Identity.at(self.place) != self.identity:
            raise changed(self.path)


@dataclass(frozen=True, slots=True)
class HubOrigin:
    """The commit of a repo of the Hub whose snapshot the folder is."""

    repo: RepoId
    commit: str


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The files of a folder by path, and the commit that it is a snapshot of, if it is one."""

    files: tuple[LocalFile, ...]
    origin: HubOrigin | None


def read_folder(folder: Path, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> ModelFolder:
    """Look at all files of a folder. `include` and `exclude` are globs, as for a pull.

    Raises UsageError for what is no folder and for a link that leads out of it, UnsafeError for a path that no model
    may have, NotFoundError where nothing is left, and DiskIOError.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="name the folder that holds the files of the model")
    with on_disk("read", folder):
        home = Path(os.path.realpath(folder))
        _refuse_cache(home)
        found = {file.path: file for file in _files(home, _blobs_of(home))}
    # The rules for a listing are the rules for what becomes one.
    tree = RepoTree.checked("", [_listed(file) for file in found.values()]).select(include, exclude)
    if not tree.files:
        raise NotFoundError(f"{folder} holds no file that is wanted; nothing was pushed")
    return ModelFolder(tuple(found[file.path] for file in tree.files), _origin_of(home))


def changed(path: str) -> IntegrityError:
    """The error about a file that is not what it was."""
    return IntegrityError(
        f"{path!r} was changed while it was pushed; no version was made of it", hint="run it again", file=path
    )


def _files(home: Path, blobs: Path | None) -> Iterator[LocalFile]:
    for name, folders, names in walk_paths(home, onerror=_raise):
        here = Path(name)
        below = here.relative_to(home).as_posix()
        folders[:] = sorted(one for one in folders if not _is_left_out(one, below))
        for one in folders:
            if (here / one).is_symlink():
                raise UsageError(f"{here / one} is a link to a folder", hint="copy what it leads to")
        for one in sorted(names):
            yield _file(home, here / one, blobs)


def _file(home: Path, place: Path, blobs: Path | None) -> LocalFile:
    try:
        target = Path(os.path.realpath(place, strict=True)) if place.is_symlink() else place
    except OSError as error:  # there is nothing, or links in a circle
        raise UsageError(
            f"{place} is a link to nothing; nothing was pushed", hint="remove it, or pull the model again"
        ) from error
    if target is not place and not (target.is_relative_to(home) or (blobs and target.parent == blobs)):
        raise UsageError(
            f"{place} is a link that leads out of the folder; nothing was pushed", hint="copy what it leads to"
        )
    found = target.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{place} is no file; nothing was pushed", hint="remove it, or name another folder")
    return LocalFile(place.relative_to(home).as_posix(), target, Identity.of(found))


def _listed(file: LocalFile) -> RepoFile:
    return RepoFile(file.path, file.size, _UNKNOWN, is_lfs=True)


def _is_left_out(name: str, below: str) -> bool:
    return is_git_folder(name) or name in _NOT_OURS or f"{below}/{name}" == _NOTES


def _blobs_of(home: Path) -> Path | None:
    """The blobs to which the links of a snapshot of the cache lead; None for another folder."""
    return home.parent.parent / "blobs" if _origin_of(home) else None


def _origin_of(home: Path) -> HubOrigin | None:
    repo = parse_folder(home.parent.parent.name) if home.parent.name == "snapshots" else None
    return HubOrigin(repo, home.name) if repo and is_commit(home.name) else None


def _refuse_cache(home: Path) -> None:
    """Raise UsageError for what holds the files of a model several times, or those of several models."""
    repos = [one for one in (home, home.parent, *home.iterdir()) if parse_folder(one.name) and _snapshots(one)]
    if repos and not _origin_of(home):
        raise UsageError(
            f"{home} belongs to a cache, and is no folder of one model; nothing was pushed",
            hint=f"push a snapshot, for example {_snapshots(repos[0])[-1]}",
        )


def _snapshots(repo: Path) -> list[Path]:
    """The snapshots in the folder of a repo in the cache, the one that was made last at the end."""
    try:
        return sorted((repo / "snapshots").iterdir(), key=lambda one: one.lstat().st_mtime)
    except OSError:
        return []


def _raise(error: OSError) -> None:
    raise error
