"""ModelScope's cache: a folder for each revision of a model, and before modelscope 1.38 one for each model.

Sources: modelscope-hub 0.5.1, which modelscope has used since 1.38: `_download.py` (`_resolve_cached_snapshot`: without
a revision `master`, then `main`, then the only one; `_find_legacy_repo_dir`: an older folder comes first where it has a
file) and `config.py` (the folder). modelscope 1.37.1: `hub/snapshot_download.py`, `hub/utils/caching.py` (`.msc`) and
`utils/file_utils.py` (the folder). Neither writes into a file that is there: both rename a new one over it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.dialects import main_branches
from orchestrator.core.refs import Ref
from orchestrator.errors import UsageError
from orchestrator.layouts.interface import OWN, Arrangement, ModelFiles, Surroundings, ToolFolder, split_settings
from orchestrator.layouts.trees import folders_in, has_file, refs_of

_MAIN = "master"
_DOT = "___"
"""In the place of each dot in the name of a model, in folders of 1.37 and before."""
_INDEX = ".msc"
_NOT_OWNERS = frozenset({"hub", "models", "datasets", "studios", "mcps", "skills"})
"""The folders at the top of a cache that are no owners' (modelscope-hub `_cache_manager.py`)."""


@dataclass(frozen=True, slots=True)
class ModelScope:
    """The layout `modelscope`: `models/owner--name/snapshots/revision`."""

    name: str = "modelscope"
    title: str = "ModelScope"
    is_of_program: bool = True

    def find(self, around: Surroundings) -> ToolFolder | None:
        """MODELSCOPE_CACHE, else the usual folder."""
        return _found(around, "modelscope")

    def arrange(self, model: ModelFiles) -> Arrangement:
        """All files of the repo. The main branch is `master`, where modelscope looks if nobody names a revision."""
        owner, name = _split(model)
        files, left_out = split_settings(model.files)
        revision = _MAIN if model.revision is None or model.revision in main_branches() else model.revision
        top = f"models/{owner}--{name}/snapshots/{revision}"
        places = tuple((item.file.path, f"{top}/{item.file.path}") for item in files)
        # A book for each revision: they lie side by side.
        book = f"{OWN}/{model.repo.folder}@{revision.replace('/', '@')}.json"
        return Arrangement(book, places, left_out=left_out)

    def claims(self, folder: Path) -> Iterable[Ref]:
        """The models of folders of any version."""
        return _claims(folder)


@dataclass(frozen=True, slots=True)
class OlderModelScope:
    """The layout `modelscope-1.37`: `models/owner/name`, and an index of its files."""

    name: str = "modelscope-1.37"
    title: str = "ModelScope up to 1.37"
    is_of_program: bool = True

    def find(self, around: Surroundings) -> ToolFolder | None:
        """MODELSCOPE_CACHE, else the usual folder."""
        return _found(around, "modelscope/hub")

    def arrange(self, model: ModelFiles) -> Arrangement:
        """All files of the repo, and the index, without which modelscope says that none is there."""
        owner, name = _split(model)
        files, left_out = split_settings(model.files)
        top = f"models/{owner}/{name.replace('.', _DOT)}"
        places = tuple((item.file.path, f"{top}/{item.file.path}") for item in files)
        index = pickle.dumps([{"Path": item.file.path, "Revision": model.commit} for item in files], protocol=4)
        book = f"{OWN}/{model.repo.folder}@1.37.json"
        return Arrangement(book, places, ((f"{top}/{_INDEX}", index),), left_out)

    def claims(self, folder: Path) -> Iterable[Ref]:
        """The models of folders of any version."""
        return _claims(folder)


def _found(around: Surroundings, usual: str) -> ToolFolder | None:
    said = around.environ.get("MODELSCOPE_CACHE")
    if said:
        folder = around.home / said[2:] if around.home and said.startswith("~/") else Path(said)
        return ToolFolder(folder, "MODELSCOPE_CACHE")
    return ToolFolder(around.home / ".cache" / usual, "the usual folder of ModelScope") if around.home else None


def _split(model: ModelFiles) -> tuple[str, str]:
    owner, slash, name = model.repo.name.partition("/")
    if not slash:
        raise UsageError(
            f"{owner} has no owner, and ModelScope finds models by owner and name",
            hint="glm-aria cache link … --layout flat, and give modelscope that folder as local_dir",
        )
    return owner, name


def _claims(folder: Path) -> Iterator[Ref]:
    seen: set[str] = set()
    for name in _names(folder):
        if name not in seen:
            seen.add(name)
            yield from refs_of(name)


def _names(folder: Path) -> Iterator[str]:
    """The names of the models: of 1.38 and later, then of 1.37, then of versions before there was `models/`."""
    for top in (folder, folder / "hub"):
        for at in folders_in(top / "models"):
            owner, dashes, name = at.name.partition("--")
            if dashes:
                if has_file(at / "snapshots"):
                    yield f"{owner}/{name}"
            else:
                yield from _owned(at)
        for at in folders_in(top):
            if at.name not in _NOT_OWNERS:
                yield from _owned(at)


def _owned(owner: Path) -> Iterator[str]:
    for at in folders_in(owner):
        if has_file(at):
            yield f"{owner.name}/{at.name.replace(_DOT, '.')}"
