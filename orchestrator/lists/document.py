"""The report of `lock diff`, as the data of its JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from orchestrator.lists.lock_diff import ChangeKind, FileChange, ModelChange


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that is not the same; `before` and `after` tell size and digest."""

    path: str
    change: ChangeKind
    before: str | None
    after: str | None

    @classmethod
    def of(cls, change: FileChange) -> Self:
        """The entry of a file."""
        return cls(change.path, change.kind, change.before, change.after)


@dataclass(frozen=True, slots=True)
class ChangedModel:
    """A model that is not the same."""

    ref: str
    change: ChangeKind
    commit_before: str | None
    commit_after: str | None
    files: tuple[ChangedFile, ...]

    @classmethod
    def of(cls, change: ModelChange) -> Self:
        """The entry of a model."""
        return cls(change.ref, change.kind, change.before, change.after, tuple(map(ChangedFile.of, change.files)))


@dataclass(frozen=True, slots=True)
class LockDiffDocument:
    """The data of `lock diff`."""

    same: bool
    models: tuple[ChangedModel, ...]

    @classmethod
    def of(cls, changes: Sequence[ModelChange]) -> Self:
        """The data of the changes from one lock file to another."""
        return cls(not changes, tuple(map(ChangedModel.of, changes)))
