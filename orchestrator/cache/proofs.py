"""Proofs of blobs in the cache: this digest was verified for a file with this size, mtime and inode.

The owner of a file can write to it and set its mtime back, so for a file of another user the ctime counts as well.

One JSON file per repo folder, `proofs/<folder>.json`: `{"version": 1, "blobs": {hex: [size, mtime_ns, inode, ctime]}}`,
where 0 is a ctime that does not count. A blob that was copied, restored or written to no longer matches and counts as
unproven; so does every blob when the file is unreadable. Losing a proof costs one re-read of the blob, never
correctness. Where none can be written, as on a read-only volume, they hold as long as the run.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH116, PTH208
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.core.files import Digest
from orchestrator.disk.access import belongs_to_others
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import read_state, write_state
from orchestrator.errors import CannotCreateError
from orchestrator.system.failures import on_disk

Stamp = tuple[int, int, int, int]
"""Size in bytes, mtime in nanoseconds, inode; ctime in nanoseconds of a file of another user, else 0."""


def stamp(found: os.stat_result) -> Stamp:
    """The identity to which a proof is tied."""
    changed = found.st_ctime_ns if belongs_to_others(found) else 0
    return (found.st_size, found.st_mtime_ns, found.st_ino, changed)


class Proofs:
    """The proofs of one cache. Reads are kept in memory and read again when the file changed."""

    def __init__(self, state_dir: Path, cache_dir: Path) -> None:
        self._stage = state_dir / "stage"
        self._cache_dir = cache_dir
        self._folder = state_dir / "proofs"
        self._known: dict[str, tuple[Stamp, dict[str, Stamp]]] = {}
        self._unwritten: dict[str, dict[str, Stamp | None]] = {}

    def of(self, repo_folder: str) -> Mapping[str, Stamp]:
        """All proofs of a repo folder, by hex digest. Empty when none are known; never raises for a bad file."""
        unwritten = self._unwritten.get(repo_folder)
        if not unwritten:
            return self._written(repo_folder)
        return {name: proof for name, proof in (self._written(repo_folder) | unwritten).items() if proof is not None}

    def is_proven(self, repo_folder: str, digest: Digest, found: os.stat_result) -> bool:
        """True when the file with the stat `found` was proven to have `digest`."""
        unwritten = self._unwritten.get(repo_folder)
        if unwritten and digest.hex in unwritten:
            return unwritten[digest.hex] == stamp(found)
        return self._written(repo_folder).get(digest.hex) == stamp(found)

    def add(self, repo_folder: str, proven: Iterable[tuple[Digest, os.stat_result]]) -> None:
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
        path = self._folder / f"{repo_folder}.json"
        with on_disk("remove", path):
            path.unlink(missing_ok=True)

    def folders(self) -> tuple[str, ...]:
        """The repo folders that have proofs, sorted."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return ()
        return tuple(sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))

    def _written(self, repo_folder: str) -> dict[str, Stamp]:
        path = self._folder / f"{repo_folder}.json"
        try:
            found = stamp(os.stat(path))
        except OSError:
            return {}
        known = self._known.get(repo_folder)
        if known is None or known[0] != found:
            known = self._known[repo_folder] = (found, _read(path))
        return known[1]

    def _change(self, repo_folder: str, changes: Mapping[str, Stamp | None]) -> None:
        if not changes:
            return
        try:
            self._write(repo_folder, changes)
        except CannotCreateError:
            self._unwritten.setdefault(repo_folder, {}).update(changes)

    def _write(self, repo_folder: str, changes: Mapping[str, Stamp | None]) -> None:
        path = self._folder / f"{repo_folder}.json"
        with on_disk("remember proofs in", path), state_lock(self._folder / f"{repo_folder}.lock"):
            blobs = dict(_read(path))
            before = dict(blobs)
            for name, proof in changes.items():
                if proof is None:
                    blobs.pop(name, None)
                elif self._still(repo_folder, name, proof):
                    blobs[name] = proof
            if blobs != before:
                write_state(path, self._stage, {"blobs": blobs}, durable=False)

    def _still(self, repo_folder: str, name: str, proof: Stamp) -> bool:
        """False only when another file now lies at the blob's place; a blob kept in a snapshot has none there."""
        try:
            return stamp(os.stat(f"{self._cache_dir}/{repo_folder}/blobs/{name}")) == proof
        except OSError:
            return True


def _read(path: Path) -> dict[str, Stamp]:
    return read_state(path, _stamps) or {}


def _stamps(data: dict[str, Any]) -> dict[str, Stamp]:
    # Earlier versions wrote no ctime.
    return {
        name: (int(size), int(mtime), int(inode), int(changed[0]) if changed else 0)
        for name, (size, mtime, inode, *changed) in data["blobs"].items()
    }
