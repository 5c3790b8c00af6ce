"""Inventory of the cache by stat and readlink only: thousands of files take milliseconds."""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH115, PTH116
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.moved import refuse_foreign_link
from orchestrator.cache.proofs import Proofs, Stamp, stamp
from orchestrator.cache.trees import holds, model_entries
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Found, Have, ResolvedModel
from orchestrator.core.refs import RepoId
from orchestrator.disk.access import belongs_to_others
from orchestrator.disk.atomic import refuse_link
from orchestrator.errors import UnsafeError
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import REF_BYTES, read_small_text

_NOTHING = Found(Have.NOTHING)

Lends = Callable[[str], bool]
"""True when other repos may be given blobs from the repo folder of this name."""


def find(
    layout: CacheLayout, proofs: Proofs, repo: RepoId, files: Iterable[RepoFile], lends: Lends
) -> dict[Digest, Found]:
    """See `HfCache.find`."""
    refuse_planted(layout, repo)
    wanted = {file.digest: file.size for file in files}
    own = proofs.of(repo.folder)
    found: dict[Digest, Found] = {}
    missing: dict[Digest, int] = {}
    with on_disk("read", layout.repo_dir(repo)):
        for digest, size in wanted.items():
            path = layout.blob(repo, digest)
            here = look(path, layout.cache_dir)
            if here is None or here.st_size != size:
                missing[digest] = size
            elif own.get(digest.hex) == (seen := stamp(here)):
                found[digest] = Found(Have.PLACED, path, seen)
            else:
                found[digest] = Found(Have.UNPROVEN, path)
    proofs.note(repo.folder, (digest.hex for digest, here in found.items() if here.have is Have.PLACED))
    if missing:
        found |= _elsewhere(layout, proofs, repo, missing, lends)
    return found


def look(blob: Path, cache_dir: Path) -> os.stat_result | None:
    """The stat of the bytes of a blob, or None when there is no file.

    A blob may be a symlink to huggingface_hub's shared store; one that leads out of the cache was planted, or is
    somebody's own arrangement that others can change, and counts as nothing.
    """
    try:
        found = os.lstat(blob)
        if stat.S_ISLNK(found.st_mode):
            real = os.path.realpath(blob)
            if not real.startswith(f"{cache_dir}{os.sep}"):
                return None
            found = os.lstat(real)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def copies(layout: CacheLayout, proofs: Proofs, digest: Digest, lends: Lends) -> Iterator[tuple[Path, Stamp]]:
    """The copies of a blob that were proven in repos which lend it, each with the stamp that it had then."""
    for folder in proofs.holders(digest):
        proof = proofs.of(folder).get(digest.hex)
        if proof is not None and lends(folder) and _is_sound(layout, folder):
            yield layout.cache_dir / folder / "blobs" / digest.hex, proof


def is_complete(layout: CacheLayout, proofs: Proofs, model: ResolvedModel) -> bool:
    """See `HfCache.is_complete`."""
    repo = model.ref.repo
    refuse_planted(layout, repo)
    branch = model.ref.branch
    if branch is not None and read_ref(layout, repo, branch) != model.commit:
        return False
    snapshot = str(layout.snapshot(repo, model.commit))
    if not _are_exposed(snapshot, model.wanted.files, proofs.of(repo.folder)):
        return False
    if not model.wanted.files and not Path(snapshot).is_dir():
        return False
    entries = model_entries(model)
    return entries is None or holds(layout.tree_file(repo, model.commit), entries)


def read_ref(layout: CacheLayout, repo: RepoId, revision: str) -> str | None:
    """The bytes of the cache's ref file; None if there is none, or something else in its place."""
    try:
        return read_small_text(layout.ref_file(repo, revision), REF_BYTES)
    except (OSError, UnicodeDecodeError):
        return None


def link_text(path: str, digest: Digest) -> str:
    """The target of a snapshot's symlink at the repo path `path`: relative, as huggingface_hub writes it."""
    return f"{'../' * (path.count('/') + 2)}blobs/{digest.hex}"


def refuse_planted(layout: CacheLayout, repo: RepoId) -> None:
    """Raise UnsafeError when one of the repo's own folders is a symlink; one to a repo that was moved away is fine."""
    repo_dir = layout.repo_dir(repo)
    refuse_link(layout.locks_dir)
    refuse_foreign_link(repo_dir, layout.cache_dir)
    for name in ("blobs", "snapshots", "refs", "trees"):
        refuse_link(repo_dir / name)


def _is_sound(layout: CacheLayout, folder: str) -> bool:
    try:
        refuse_foreign_link(layout.cache_dir / folder, layout.cache_dir)
    except UnsafeError:
        return False
    return True


def _are_exposed(snapshot: str, files: Iterable[RepoFile], proven: Mapping[str, Stamp]) -> bool:
    for file in files:
        proof = proven.get(file.digest.hex)
        if proof is None or proof[0] != file.size:
            return False
        path = f"{snapshot}/{file.path}"
        try:
            # Through the link: the size, mtime and inode of the very file that was proven.
            found = os.stat(path)
        except OSError:
            return False
        seen = stamp(found)
        if seen[:2] != proof[:2]:
            return False
        try:
            if os.readlink(path) != link_text(file.path, file.digest) or seen != proof:
                return False
        except OSError as error:
            # EINVAL: not a link. Where there are no symlinks the file itself lies there, linked, or copied by us.
            if error.errno != errno.EINVAL or (seen != proof and belongs_to_others(found)):
                return False
    return True


def _elsewhere(
    layout: CacheLayout, proofs: Proofs, repo: RepoId, missing: Mapping[Digest, int], lends: Lends
) -> dict[Digest, Found]:
    found = dict.fromkeys(missing, _NOTHING)
    for digest, size in missing.items():
        for blob, proof in copies(layout, proofs, digest, lambda folder: folder != repo.folder and lends(folder)):
            here = look(blob, layout.cache_dir)
            if here is not None and here.st_size == size and stamp(here) == proof:
                found[digest] = Found(Have.ELSEWHERE, blob, proof)
                break
    return found
