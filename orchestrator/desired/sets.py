"""The sets on the disk, and the one link that readers follow.

    SETS/NAME/current -> 12-3f9a0c5e71b2d844      the set that readers have
    SETS/NAME/12-3f9a0c5e71b2d844/
        set.json  set.lock                        what it is, and the lock of all of its bytes
        models/org/name -> the snapshot           each model as a folder
        hub/models--org--name/refs, snapshots     the same as a Hugging Face cache of this set alone
    SETS/NAME/status.json

A set is made under another name, made durable, and renamed; then `current` is exchanged by one rename. All links are
relative, so who mounts the folder above the cache and the sets reads them at any place. A set is never changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cache.layout import CacheLayout
from orchestrator.core.names import check_path
from orchestrator.desired.wish.wanted import ModelSet, SetModel, SetRules, refuse_nested
from orchestrator.disk.atomic import drop_all
from orchestrator.disk.durability import sync_files, sync_names
from orchestrator.disk.state_file import UNREADABLE
from orchestrator.errors import UsageError
from orchestrator.lists.json_text import parse_json
from orchestrator.lists.lockfile import Lock, LockedModel, parse_lock, render_lock
from orchestrator.system.failures import on_disk
from orchestrator.system.processes import is_left_behind, scratch_name
from orchestrator.system.small_files import RECORD_BYTES, read_small

SCHEMA = "glm-aria-set/1"
CURRENT = "current"
STATUS = "status.json"
_INFO, _LOCK = "set.json", "set.lock"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_FOLDER = re.compile(r"(\d{1,12})-([0-9a-f]{16})", re.ASCII)
_DIGITS = 16
_MOST_WISHES = 10**9
"""The numbers of wishes that somebody else may name: those after them have a place in the name of a folder, too."""


def sets_beside(layout: CacheLayout) -> Path:
    """The folder of sets where nobody names one: beside the cache, so that one mount has both."""
    cache = layout.cache_dir
    return cache.parent / ("sets" if cache.name == "hub" else f"{cache.name}.sets")


def check_name(name: str) -> str:
    """The name of a set, which becomes a folder. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not the name of a set", hint="lower-case letters, digits and -, for example edge"
        )
    return name


@dataclass(frozen=True, slots=True)
class StoredSet:
    """A set on the disk. `wish` is the digest of the wish that it fulfils, `revisions` those of the sources."""

    folder: str
    generation: int
    wish: str
    revisions: tuple[str, ...]
    made: float
    models: ModelSet

    @property
    def digest(self) -> str:
        """The digest of the set."""
        return self.models.digest


class SetStore:
    """The sets of one name. `layout` is the cache in which their bytes lie. Used by one process."""

    def __init__(self, sets: Path, name: str, layout: CacheLayout) -> None:
        self.name = check_name(name)
        self.folder = Path(os.path.realpath(sets)) / name
        self._layout = layout
        self._read: dict[str, StoredSet] = {}

    @property
    def current(self) -> Path:
        """The link that readers follow."""
        return self.folder / CURRENT

    @property
    def status(self) -> Path:
        """The file with the status."""
        return self.folder / STATUS

    def make(self) -> None:
        """Make the folder, and remove what a killed run left half made."""
        with on_disk("create", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.iterdir():
                is_set = _FOLDER.fullmatch(path.name) is not None and path.name != self.current_name()
                if is_left_behind(path) or (is_set and self.read(path.name) is None):
                    drop_all(path)

    def current_name(self) -> str | None:
        """The folder of the set that readers have."""
        try:
            name = os.readlink(self.current)  # noqa: PTH115 - the text itself
        except OSError:
            return None
        return name if _FOLDER.fullmatch(name) else None

    def present(self) -> StoredSet | None:
        """The set that readers have; None where there is none, or it is not what its name says."""
        name = self.current_name()
        return None if name is None else self.read(name)

    def flipped_at(self) -> float | None:
        """The time at which readers got the present set, in unix seconds."""
        try:
            return os.lstat(self.current).st_mtime
        except OSError:
            return None

    def kept(self) -> tuple[StoredSet, ...]:
        """The sets that are here, whole and what their names say, the oldest first."""
        with on_disk("read", self.folder):
            names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        found = [one for name in names if _FOLDER.fullmatch(name) and (one := self.read(name)) is not None]
        return tuple(sorted(found, key=lambda one: (one.generation, one.made)))

    def read(self, name: str) -> StoredSet | None:
        """The set in a folder; None when it is not what its name says."""
        if name not in self._read:
            try:
                info = parse_json(read_small(self.folder / name / _INFO, RECORD_BYTES).decode())
                lock = parse_lock(read_small(self.folder / name / _LOCK, RECORD_BYTES).decode(), _LOCK)
                models = stored_models(info, lock)
                generation, made = int(info["generation"]), float(info["made"])
                found = StoredSet(name, generation, str(info["wish"]), tuple(map(str, info["revisions"])), made, models)
            except UNREADABLE:
                return None
            if not _is_named(name, found):
                return None
            self._read[name] = found
        return self._read[name]

    def build(self, models: ModelSet, generation: int, wish: str, revisions: tuple[str, ...], now: float) -> StoredSet:
        """Make the folder of a set, whole and durable, unless it is there. Raises per `system.failures`."""
        name = _folder_of(generation, models.digest)
        if (found := self.read(name)) is not None and found.digest == models.digest:
            return found
        made = StoredSet(name, generation, wish, revisions, now, models)
        scratch = self.folder / scratch_name()
        with on_disk("write", scratch):
            try:
                scratch.mkdir()
                self._fill(scratch, made)
                _sync(scratch)
                if os.path.lexists(self.folder / name):  # of the same name, and not whole
                    drop_all(self.folder / name)
                os.replace(scratch, self.folder / name)  # noqa: PTH105
                sync_names(self.folder)
            except BaseException:
                drop_all(scratch)
                raise
        self._read.pop(name, None)
        return made

    def flip(self, name: str) -> None:
        """Let readers have a set. Durable when it returns."""
        scratch = self.folder / scratch_name()
        with on_disk("write", self.current):
            try:
                os.symlink(name, scratch)  # noqa: PTH211
                os.replace(scratch, self.current)  # noqa: PTH105
                sync_names(self.folder)
            except BaseException:
                drop_all(scratch)
                raise

    def remove(self, name: str) -> None:
        """Remove a set that readers do not have: first its name, so that nobody finds half of it."""
        if not _FOLDER.fullmatch(name) or name == self.current_name():
            return
        self._read.pop(name, None)
        scratch = self.folder / scratch_name()
        with on_disk("remove", self.folder / name), contextlib.suppress(FileNotFoundError):
            os.replace(self.folder / name, scratch)  # noqa: PTH105
            drop_all(scratch)

    def _fill(self, folder: Path, made: StoredSet) -> None:
        # The text of a link counts from where it lies in the end, which is as deep as the scratch folder.
        refs: dict[Path, str] = {}
        for model in made.models.models:
            locked = model.locked
            snapshot = self._layout.snapshot(locked.ref.repo, locked.commit)
            _link(folder / "models" / model.name, snapshot)
            view = folder / "hub" / locked.ref.repo.folder
            _link(view / "snapshots" / locked.commit, snapshot)
            if locked.ref.branch is not None:
                refs[view / "refs" / locked.ref.branch] = locked.commit
        for model in made.models.models:
            # Who names no revision means `main`: of a model that is wanted at another one, that.
            main = folder / "hub" / model.locked.ref.repo.folder / "refs" / "main"
            if not any(main in path.parents for path in refs):
                refs.setdefault(main, model.locked.commit)
        for path, commit in refs.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(commit, "ascii")
        (folder / _LOCK).write_text(lock_text(made.models), "utf-8")
        (folder / _INFO).write_text(info_text(made), "utf-8")


def lock_text(models: ModelSet) -> str:
    """The lock file of a set."""
    return render_lock(Lock(tuple(model.locked for model in models.models)))


def info_text(made: StoredSet) -> str:
    """The text of `set.json`."""
    models = made.models
    info = {
        "schema": SCHEMA,
        "digest": models.digest,
        "generation": made.generation,
        "wish": made.wish,
        "revisions": made.revisions,
        "made": made.made,
        "rules": {"safe_only": models.rules.safe_only, "portable": models.rules.portable},
        "models": [
            {"name": one.name, "ref": str(one.locked.ref), "commit": one.locked.commit} for one in models.models
        ],
    }
    return json.dumps(info, indent=1) + "\n"


def stored_models(info: dict[str, object], lock: Lock) -> ModelSet:
    """The set that `set.json` and `set.lock` describe, which others may have written: its folders lie in it, and in no
    other one. Raises any of UNREADABLE."""
    if info["schema"] != SCHEMA:
        raise ValueError("of another kind")
    by_ref: dict[str, LockedModel] = {str(model.ref): model for model in lock.models}
    entries, rules = info["models"], info["rules"]
    if not isinstance(entries, list) or not isinstance(rules, dict):
        raise TypeError("no set")
    models = tuple(SetModel(check_path(entry["name"]), by_ref[entry["ref"]]) for entry in entries)
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise ValueError("two models share a folder")
    refuse_nested(names)
    found = ModelSet(models, SetRules(rules["safe_only"] is True, rules["portable"] is True))
    if found.digest != info["digest"]:
        raise ValueError("its digest is another one")
    return found


def stored_generation(info: Mapping[str, object]) -> int:
    """The number of the wish in a `set.json` that others wrote. Raises any of UNREADABLE."""
    found = info["generation"]
    if type(found) is not int or not 0 <= found < _MOST_WISHES:
        raise ValueError("its generation is no number of a wish")
    return found


def _folder_of(generation: int, digest: str) -> str:
    return f"{generation}-{digest.partition(':')[2][:_DIGITS]}"


def _is_named(name: str, found: StoredSet) -> bool:
    return name == _folder_of(found.generation, found.digest)


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.symlink(os.path.relpath(target, path.parent), path)  # noqa: PTH211


def _sync(folder: Path) -> None:
    below = [*folder.rglob("*")]
    sync_files([path for path in below if not path.is_symlink() and path.is_file()])
    for path in (*(path for path in below if not path.is_symlink() and path.is_dir()), folder):
        sync_names(path)
