"""Differences of two lock files, or of a lock file and a listing: bytes and commits, not trust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.files import RepoTree
from orchestrator.lists.lockfile import Lock, LockedModel


class ChangeKind(StrEnum):
    """The kind of a change of a file or a model."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"

    @property
    def sign(self) -> str:
        """Its mark at the beginning of a line."""
        return {ChangeKind.ADDED: "+", ChangeKind.REMOVED: "-", ChangeKind.CHANGED: "~"}[self]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that is not the same. `before` and `after` tell size and digest, None where it is not there."""

    kind: ChangeKind
    path: str
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        return f"{self.kind.sign} {self.path}  {' -> '.join(part for part in (self.before, self.after) if part)}"


@dataclass(frozen=True, slots=True)
class ModelChange:
    """A model that is not the same: its commits before and after, and its files."""

    kind: ChangeKind
    ref: str
    before: str | None
    after: str | None
    files: tuple[FileChange, ...] = ()


def diff_locks(old: Lock, new: Lock) -> tuple[ModelChange, ...]:
    """The changes from `old` to `new`, by ref: only bytes and commits, not trust."""
    before, after = ({str(model.ref): model for model in lock.models} for lock in (old, new))
    changes = []
    for ref in sorted(before.keys() | after.keys()):
        one, other = before.get(ref), after.get(ref)
        files = _compare(_contents(one), _contents(other))
        if one is None or other is None:
            kind = ChangeKind.REMOVED if other is None else ChangeKind.ADDED
        elif one.commit != other.commit or files:
            kind = ChangeKind.CHANGED
        else:
            continue
        changes.append(ModelChange(kind, ref, one.commit if one else None, other.commit if other else None, files))
    return tuple(changes)


def contradictions(locked: LockedModel, tree: RepoTree) -> tuple[FileChange, ...]:
    """Contradictions of a catalog's listing of the locked commit and the lock. Empty if they agree.

    Size and digest are compared, and git's id where the catalog tells one. Files that the lock does not name count
    only when it names the whole commit.
    """
    listed = {file.path: file for file in tree.files}
    mine = {file.path: file for file in locked.tree().files}
    changes = []
    for path in sorted(mine.keys() | (listed.keys() if locked.is_whole else set())):
        want, here = mine.get(path), listed.get(path)
        if want is None or here is None:
            kind = ChangeKind.ADDED if want is None else ChangeKind.REMOVED
            changes.append(
                FileChange(
                    kind,
                    path,
                    _told(want.size, str(want.digest)) if want else None,
                    _told(here.size, str(here.digest)) if here else None,
                )
            )
        elif (want.size, want.digest) != (here.size, here.digest):
            told = (_told(want.size, str(want.digest)), _told(here.size, str(here.digest)))
            changes.append(FileChange(ChangeKind.CHANGED, path, *told))
        elif want.git_oid and here.git_oid and want.git_oid != here.git_oid:
            told = (_told(want.size, f"git-sha1:{want.git_oid}"), _told(here.size, f"git-sha1:{here.git_oid}"))
            changes.append(FileChange(ChangeKind.CHANGED, path, *told))
    return tuple(changes)


def differences(locked: LockedModel, now: LockedModel) -> tuple[FileChange, ...]:
    """The files whose bytes in a pull differ from the lock."""
    return _compare(_contents(locked), _contents(now))


def _contents(model: LockedModel | None) -> dict[str, str]:
    """Size and digests of each path: both of them, since one alone may be the same by a collision of SHA-1."""
    files = model.files if model else ()
    return {file.path: _told(file.size, f"sha256:{file.sha256} git-sha1:{file.git_oid}") for file in files}


def _compare(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[FileChange, ...]:
    changes = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            kind = ChangeKind.ADDED if old is None else ChangeKind.REMOVED if new is None else ChangeKind.CHANGED
            changes.append(FileChange(kind, path, old, new))
    return tuple(changes)


def _told(size: int, digest: str) -> str:
    return f"{size} B {digest}"
