"""Proofs of blobs in the cache: this digest was verified for a file with this size, mtime and inode.

The owner of a file can write to it and set its mtime back, so for a file of another user the ctime counts as well.

One JSON file per repo folder, `proofs/<folder>.json`: `{"version": 1, "blobs": {hex: [size, mtime_ns, inode, ctime]}}`,
where 0 is a ctime that does not count, and beside a large one a log of what changed (see `growing_state`). A blob that
was copied, restored or written to no longer matches and counts as unproven; so does every blob when the file is
unreadable. Losing a proof costs one re-read of the blob, never correctness. Where none can be written, as on a
read-only volume, they hold as long as the run.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH116, PTH208
from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.core.files import Digest
from orchestrator.disk.access import belongs_to_others
from orchestrator.disk.file_stat import StatLike
from orchestrator.disk.growing_state import GrowingState
from orchestrator.disk.locks import state_lock
from orchestrator.errors import CannotCreateError, GlmAriaError
from orchestrator.system.failures import on_disk

_HOLDERS = 8  # one is enough, unless somebody removed its blob

Stamp = tuple[int, int, int, int]
"""Size in bytes, mtime in nanoseconds, inode; ctime in nanoseconds of a file of another user, else 0."""


def stamp(found: StatLike) -> Stamp:
    """The identity to which a proof is tied."""
    changed = found.st_ctime_ns if belongs_to_others(found) else 0
    return (found.st_size, found.st_mtime_ns, found.st_ino, changed)


class Proofs:
    """The proofs of one cache. Reads are kept in memory, and go on from there when the file changed."""

    def __init__(self, state_dir: Path, cache_dir: Path) -> None:
        self._stage = state_dir / "stage"
        self._cache_dir = cache_dir
        self._folder = state_dir / "proofs"
        self._known: dict[str, GrowingState[Stamp]] = {}
        self._unwritten: dict[str, dict[str, Stamp | None]] = {}
        self._holders: dict[str, tuple[str, ...]] | None = None

    def of(self, repo_folder: str) -> Mapping[str, Stamp]:
        """All proofs of a repo folder, by hex digest. Empty when none are known; never raises for a bad file."""
        unwritten = self._unwritten.get(repo_folder)
        if not unwritten:
            return self._written(repo_folder)
        proofs = {**self._written(repo_folder), **unwritten}
        return {name: proof for name, proof in proofs.items() if proof is not None}

    def is_proven(self, repo_folder: str, digest: Digest, found: StatLike) -> bool:
        """True when the file with the stat `found` was proven to have `digest`."""
        unwritten = self._unwritten.get(repo_folder)
        if unwritten and digest.hex in unwritten:
            return unwritten[digest.hex] == stamp(found)
        return self._written(repo_folder).get(digest.hex) == stamp(found)

    def add(self, repo_folder: str, proven: Iterable[tuple[Digest, StatLike]]) -> None:
        """Remember these blobs, beside what others remembered meanwhile.

        A blob that is no longer the file that was verified, since another process put its own there, is left out.
        Raises NoSpaceError and its like; callers may ignore that. Where nothing may be written, that is no error.
        """
        self._change(repo_folder, {digest.hex: stamp(found) for digest, found in proven})

    def forget(self, repo_folder: str, digests: Iterable[Digest]) -> None:
        """Drop the proofs of these blobs."""
        self._change(repo_folder, {digest.hex: None for digest in digests})

    def forget_all(self, repo_folder: str) -> None:
        """Drop all proofs of a repo folder that is gone."""
        with on_disk("remove", self._folder / f"{repo_folder}.json"):
            self._state(repo_folder).remove()

    def settle(self, repo_folder: str) -> None:
        """Put the proofs of a repo folder into one file, where other versions of this program find them.

        Where that is not possible, as on a full disk, they stay where they are.
        """
        path = self._folder / f"{repo_folder}.json"
        with contextlib.suppress(GlmAriaError), on_disk("write", path), self._lock(repo_folder):
            self._state(repo_folder).settle()

    def holders(self, digest: Digest) -> tuple[str, ...]:
        """Some of the repo folders that have, or had, a proof of a blob, as this run found them and added to them.

        What others add meanwhile is not among them.
        """
        known = self._holders
        if known is None:
            known = {}
            for folder in self._folders():
                _add_holder(known, folder, self.of(folder))
            self._holders = known  # once it is whole: other threads ask, too
        return known.get(digest.hex, ())

    def note(self, repo_folder: str, names: Iterable[str]) -> None:
        """Let `holders` know that a repo folder has proofs of these blobs."""
        if self._holders is not None:
            _add_holder(self._holders, repo_folder, names)

    def begin_run(self) -> None:
        """From here on `holders` are those of another run."""
        self._holders = None

    def _folders(self) -> list[str]:
        try:
            names = os.listdir(self._folder)
        except OSError:
            return []
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def _state(self, repo_folder: str) -> GrowingState[Stamp]:
        if repo_folder not in self._known:
            path = self._folder / f"{repo_folder}.json"
            self._known[repo_folder] = GrowingState(path, self._stage, "blobs", _parsed)
        return self._known[repo_folder]

    def _lock(self, repo_folder: str) -> contextlib.AbstractContextManager[None]:
        return state_lock(self._folder / f"{repo_folder}.lock")

    def _written(self, repo_folder: str) -> Mapping[str, Stamp]:
        return self._state(repo_folder).read()

    def _change(self, repo_folder: str, changes: Mapping[str, Stamp | None]) -> None:
        if not changes:
            return
        self.note(repo_folder, changes)
        try:
            with on_disk("remember proofs in", self._folder / f"{repo_folder}.json"), self._lock(repo_folder):
                right = {n: p for n, p in changes.items() if p is None or self._still(repo_folder, n, p)}
                self._state(repo_folder).change(right)
        except CannotCreateError:
            self._unwritten.setdefault(repo_folder, {}).update(changes)

    def _still(self, repo_folder: str, name: str, proof: Stamp) -> bool:
        """False only when another file now lies at the blob's place; a blob kept in a snapshot has none there."""
        try:
            return stamp(os.stat(f"{self._cache_dir}/{repo_folder}/blobs/{name}")) == proof
        except OSError:
            return True


def _add_holder(holders: dict[str, tuple[str, ...]], repo_folder: str, names: Iterable[str]) -> None:
    for name in names:
        known = holders.get(name, ())
        if len(known) < _HOLDERS and repo_folder not in known:
            holders[name] = (*known, repo_folder)


def _parsed(data: Any) -> Stamp:
    # Earlier versions wrote no ctime.
    size, mtime, inode, *changed = data
    return int(size), int(mtime), int(inode), int(changed[0]) if changed else 0
