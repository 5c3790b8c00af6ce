"""The wish for a node: the documents of its sources, one over the other, as far as they are meant for it. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from orchestrator.core.dialects import DEFAULT
from orchestrator.desired.wish.document import DesiredDocument, SetBudget
from orchestrator.desired.wish.labels import Labels, is_for
from orchestrator.errors import UsageError
from orchestrator.lists.lockfile import LockedModel
from orchestrator.lists.request import Item

GRACE = 86400.0
"""Seconds for which a set stays after another took its place, where nobody says."""


@dataclass(frozen=True, slots=True)
class WantedModel:
    """A model for this node: its folder in the set, what is wanted of it, and the line or table that says so."""

    name: str
    item: Item
    where: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """The words of the wish, as one hash; the folder is not among them."""
        return _hash(_words(self)[1:])


@dataclass(frozen=True, slots=True)
class WantedSet:
    """All that this node shall have."""

    models: tuple[WantedModel, ...]
    budget: SetBudget = field(default_factory=SetBudget)
    grace: float = GRACE

    @property
    def digest(self) -> str:
        """One hash of the wish: it changes when the wish does, and not with a branch that moves."""
        return _hash([_words(model) for model in self.models])


@dataclass(frozen=True, slots=True)
class SetRules:
    """Settings that decide what a set may hold, and so belong to its name."""

    safe_only: bool = False
    portable: bool = False


@dataclass(frozen=True, slots=True)
class SetModel:
    """A model of a set: its folder, and the lock of its bytes. Those of a higher `priority` are fetched earlier."""

    name: str
    locked: LockedModel
    priority: int = field(default=0, compare=False)

    @property
    def size(self) -> int:
        """Bytes of its distinct files."""
        return sum({file.sha256: file.size for file in self.locked.files}.values())


@dataclass(frozen=True, slots=True)
class ModelSet:
    """The bytes of a wish: each model locked. Sorted by folder."""

    models: tuple[SetModel, ...]
    rules: SetRules = field(default_factory=SetRules)

    @property
    def digest(self) -> str:
        """One hash that names the set: all of its bytes, where they lie in it, and the settings that matter."""
        models = [
            [model.name, str(model.locked.ref), model.locked.commit, *_files(model.locked)] for model in self.models
        ]
        return f"sha256:{_hash(['glm-aria-set/1', self.rules.safe_only, self.rules.portable, models])}"

    @property
    def blobs(self) -> dict[str, int]:
        """The distinct blobs by their sha256, with their bytes."""
        return {file.sha256: file.size for model in self.models for file in model.locked.files}


def merge(documents: Sequence[DesiredDocument], labels: Labels) -> WantedSet:
    """One wish of several: for a folder, and for each limit, the last document that says something counts.

    Raises UsageError where two models would share a folder, or one lie in the folder of another, and where their
    revisions have no room beside each other.
    """
    models: dict[str, WantedModel] = {}
    budget, grace = SetBudget(), GRACE
    for document in documents:
        budget = document.budget.over(budget)
        grace = grace if document.grace is None else document.grace
        mine: dict[str, WantedModel] = {}
        for listed in document.models:
            if not is_for(listed.nodes, labels):
                continue
            model = WantedModel(listed.name, listed.item, listed.where)
            if mine.setdefault(listed.name, model) != model:
                raise UsageError(
                    f"{listed.where}: {mine[listed.name].item.ref} and {listed.item.ref} are both for this node, in "
                    f"the folder {listed.name!r}",
                    hint='name the folder of one of them: as = "other"',
                )
        models |= mine
    refuse_nested(models)
    _refuse_twice(models.values())
    _refuse_nested_refs(models.values())
    return WantedSet(tuple(models[name] for name in sorted(models)), budget, grace)


def refuse_nested(names: Iterable[str]) -> None:
    """Raise UsageError where a folder of a set lies in another one."""
    known = set(names)
    for name in known:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            if (above := "/".join(parts[:depth])) in known:
                raise UsageError(f"the folder {name!r} of the set would lie in that of another model, {above!r}")


def _refuse_twice(models: Iterable[WantedModel]) -> None:
    seen: dict[str, str] = {}
    for model in models:
        other = seen.setdefault(str(model.item.ref), model.name)
        if other != model.name:
            raise UsageError(
                f"{model.where}: {model.item.ref} is wanted twice, in the folders {other!r} and {model.name!r}"
            )


def _refuse_nested_refs(models: Iterable[WantedModel]) -> None:
    """Raise UsageError where a revision lies below another one of its repo: the cache has a file for each name."""
    by_repo: dict[str, dict[str, WantedModel]] = {}
    for model in models:
        if (branch := model.item.ref.branch) is not None:
            by_repo.setdefault(model.item.ref.repo.folder, {})[branch] = model
    for known in by_repo.values():
        for branch, model in known.items():
            above = next((name for name in map(str, PurePosixPath(branch).parents) if name in known), None)
            if above is not None:
                raise UsageError(
                    f"{model.where}: {model.item.ref} cannot be in one set with {known[above].item.ref}: the cache has "
                    f"a file for each revision, and {above!r} cannot be a folder, too",
                    hint="name one of them by its commit, which glm-aria plan shows",
                )


def _words(model: WantedModel) -> list[object]:
    item = model.item
    kind = "" if item.ref.catalog is DEFAULT else item.ref.catalog.name
    locked = [item.locked.commit, *_files(item.locked)] if item.locked else []
    return [
        model.name,
        kind,
        str(item.ref),
        *map(list, (item.include, item.exclude)),
        item.quantization,
        item.variant,
        locked,
    ]


def _files(locked: LockedModel) -> list[list[object]]:
    return [[file.path, file.size, file.git_oid, file.sha256] for file in locked.files]


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()).hexdigest()
