"""Removing from the cache beside others who read and write it, in two phases for each repo.

Mark: refs go, then snapshots, each in one step and durably, so that no reader meets a link to nothing or a ref to
nothing. Sweep: blobs go, each under huggingface_hub's lock on it, and only when no snapshot links to it by then. Before
the last byte is given up the links are looked at once more, and a blob that got one meanwhile is put back.

A repo with which a pull of ours or huggingface_hub is at work is left alone. Killed at any step, this leaves a cache
that readers read right; what was not reached is found by the next run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from orchestrator.cache.cache import HfCache
from orchestrator.cache.census import CachedFile, CachedRepo, CachedSnapshot, digest_of, read_repo
from orchestrator.cache.claims import alone
from orchestrator.cache.inventory import refuse_planted
from orchestrator.cache.layout import is_junk
from orchestrator.cache.moved import ASIDE, CacheFolder, open_cache_folder
from orchestrator.cache.records import Records
from orchestrator.cache.retention.pins import Pins, is_named
from orchestrator.core.refs import Target
from orchestrator.disk.atomic import make_folder, scratch
from orchestrator.disk.durability import sync_folders
from orchestrator.disk.folders import Folder
from orchestrator.disk.locks import blob_lock
from orchestrator.errors import UnsafeError
from orchestrator.system.failures import on_disk
from orchestrator.upkeep.garbage import Garbage, Kept, Kind
from orchestrator.upkeep.shared_store import release

_AT_ONCE = 128  # blobs whose locks are held together: each is an open file
_LINKS_A_BLOB = 3  # a blob is moved away in the time in which three links are read (36 us)


@dataclass(frozen=True, slots=True)
class Swept:
    """The outcome for a repo's garbage: `gone`, with the bytes that each really freed, and what stays."""

    gone: tuple[Garbage, ...]
    kept: tuple[Kept, ...]


def forget_pieces(cache: HfCache, gone: Iterable[Garbage]) -> None:
    """Drop the piece hashes of blobs that went and are in no repo any more. Raises per `system.failures`."""
    digests = {name: digest for item in gone for name in item.blobs if (digest := digest_of(name)) is not None}
    with on_disk("read", cache.layout.cache_dir):
        for folder in cache.layout.cache_dir.iterdir() if digests else ():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                for blob in (folder / "blobs").iterdir():
                    digests.pop(blob.name, None)
    for digest in digests.values():
        cache.pieces.forget(digest)


def remove_part(cache: HfCache, item: Garbage) -> bool:
    """Remove what huggingface_hub left of a download; False while it holds the lock of it. Raises as `sweep` does."""
    name = item.path.name
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_disk("remove", item.path))
        root = stack.enter_context(open_cache_folder(cache.layout.cache_dir))
        locks = _open_locks(root, item.folder)
        if locks is None:
            return False
        stack.enter_context(locks)
        if not stack.enter_context(blob_lock(f"{name.partition('.')[0]}.lock", create_in=locks)):
            return False
        with root.beneath(f"{item.folder}/blobs") as blobs:
            blobs.unlink(name, missing_ok=True)
        return True


def _open_locks(root: Folder, folder: str) -> Folder | None:
    """The folder of a repo's locks, made where it is missing; None where it is missing and this user may not make it.

    Then nobody holds a lock in it.
    """
    with contextlib.suppress(FileNotFoundError):
        return root.beneath(f".locks/{folder}")
    try:
        return root.beneath(f".locks/{folder}", [])
    except PermissionError:
        return None


def sweep(cache: HfCache, records: Records, pins: Pins, folder: str, garbage: Sequence[Garbage]) -> Swept:
    """Remove garbage of one repo folder, as far as nobody came to need it since it was chosen.

    Raises UnsafeError for planted symlinks, CannotCreateError and DiskIOError; what is gone by then is gone.
    """
    state = cache.state_dir
    with alone(state, folder) as is_alone:
        repo = read_repo(cache.layout, folder)
        if repo is None:
            return Swept((), ())
        refuse_planted(cache.layout, repo.repo)
        busy = "a pull is at work with it" if not is_alone else _at_work(cache, folder)
        if busy:
            return Swept((), tuple(Kept(folder, item.commit or item.path.name, busy) for item in garbage))
        with open_cache_folder(cache.layout.cache_dir) as root, make_folder(root, folder)[0] as opened:
            return _Sweeper(cache, records, pins.load(), repo, root, opened).run(garbage)


def _at_work(cache: HfCache, folder: str) -> str | None:
    """Is some blob of the repo locked by huggingface_hub?"""
    for lock in sorted((cache.layout.locks_dir / folder).glob("*.lock")):
        with blob_lock(lock) as is_held:
            if not is_held and lock.exists():
                return "hf is at work with it"
    return None


class _Sweeper:
    """`root` is the cache's folder, `opened` that of the repo; others may exchange what their paths lead to."""

    def __init__(  # noqa: PLR0917 - what it removes, and from where
        self,
        cache: HfCache,
        records: Records,
        pins: frozenset[Target],
        repo: CachedRepo,
        root: CacheFolder,
        opened: Folder,
    ) -> None:
        self._cache, self._records, self._pins, self._repo = cache, records, pins, repo
        self._root, self._opened = root, opened
        self._snapshots = {snapshot.commit: snapshot for snapshot in repo.snapshots}
        self._stage = cache.state_dir / "stage"
        self._kept: list[Kept] = []
        self._freed: dict[str, int] = {}

    def run(self, garbage: Sequence[Garbage]) -> Swept:
        gone = []
        revisions = [item for item in garbage if item.kind is Kind.REVISION]
        trash: list[Path] = []
        files: dict[str, int] = {}
        try:
            for item in revisions:
                snapshot = self._still(item)
                if snapshot is not None:
                    files[snapshot.commit] = _freed_by_files(snapshot)
                    trash.append(self._take_away(snapshot))
                    gone.append(item)
            if gone:
                sync_folders(self._root, (self._repo.path, self._repo.path / "snapshots"))
        finally:
            for path in trash:
                shutil.rmtree(path, ignore_errors=True)
        gone += [item for item in garbage if item.kind is Kind.BLOB]
        names = sorted({name for item in gone for name in item.blobs})
        # A look at the links is a walk over all of them, and who links a blob meanwhile cannot read it before the next
        # one. So blobs move for as long as a look takes: that costs little in all, and nobody waits for long.
        links = sum(len(one.links) + len(one.files) for one in self._repo.snapshots)
        round_ = max(_AT_ONCE, links // _LINKS_A_BLOB)
        for start in range(0, len(names), round_):
            self._drop(names[start : start + round_])
        done = [
            replace(item, frees=files.get(item.commit or "", 0) + sum(self._freed.pop(n, 0) for n in item.blobs))
            for item in gone
            if item.kind is Kind.REVISION or item.blobs & self._freed.keys()
        ]
        self._forget(done)
        return Swept(tuple(done), tuple(self._kept))

    def _still(self, item: Garbage) -> CachedSnapshot | None:
        """The snapshot, if what was decided about it still holds."""
        repo, commit = self._repo, item.commit or ""
        snapshot, why_not = self._snapshots.get(commit), None
        if snapshot is None:
            return None
        if is_named(self._pins, repo, commit):
            why_not = "pinned"
        elif not item.is_named and (snapshot.touched != item.touched or repo.refs_of(commit) != item.refs):
            why_not = "it changed meanwhile"
        elif not item.is_named and repo.has_bad_refs:
            why_not = "a ref of the repo cannot be read"
        if why_not:
            self._kept.append(Kept(repo.folder, commit, why_not))
            return None
        return snapshot

    def _take_away(self, snapshot: CachedSnapshot) -> Path:
        """Refs first: one that names nothing makes the whole repo vanish from `hf cache ls`."""
        repo, commit = self._repo, snapshot.commit
        for revision in repo.refs_of(commit):
            ref = repo.path / "refs" / revision
            with on_disk("remove", ref), contextlib.suppress(FileNotFoundError):
                self._remove_ref(PurePath(revision))
        sync_folders(self._root, [repo.path / "refs"])
        trash = scratch(self._stage)
        with on_disk("remove", snapshot.path):
            with self._opened.beneath("snapshots") as snapshots:
                try:
                    snapshots.move_out(commit, trash)
                except OSError:
                    # The stage is on another volume: file by file, in place.
                    shutil.rmtree(commit, dir_fd=snapshots.fd)
            with contextlib.suppress(FileNotFoundError), self._opened.beneath("trees") as trees:
                trees.unlink(f"{commit}.json")
            with contextlib.suppress(OSError, UnsafeError), self._opened.beneath(".no_exist") as absent:
                shutil.rmtree(commit, ignore_errors=True, dir_fd=absent.fd)
        self._records.forget(repo.repo, commit)
        return trash

    def _remove_ref(self, revision: PurePath) -> None:
        """Remove a ref, and the folders below `refs/` that this leaves empty."""
        with self._opened.beneath("refs" / revision.parent) as folder:
            folder.unlink(revision.name)
        for above in revision.parents:
            if above.name:
                with contextlib.suppress(OSError), self._opened.beneath("refs" / above.parent) as folder:
                    folder.rmdir(above.name)

    def _drop(self, names: Sequence[str]) -> None:
        with contextlib.ExitStack() as opened:
            try:
                blobs = opened.enter_context(self._opened.beneath("blobs"))
            except FileNotFoundError:
                return
            with on_disk("lock", self._cache.layout.locks_dir):
                place = _open_locks(self._root, self._repo.folder)
            if place is not None:
                opened.enter_context(place)
            now = read_repo(self._cache.layout, self._repo.folder, names)
            if now is None:
                return
            linked = now.linked()
            loose = [blob for name, blob in now.blobs.items() if name not in linked]
            moved: list[tuple[CachedFile, Path]] = []
            try:
                for start in range(0, len(loose), _AT_ONCE):
                    moved += self._move_free(loose[start : start + _AT_ONCE], blobs, place)
            finally:
                self._settle(moved, blobs)

    def _settle(self, moved: Iterable[tuple[CachedFile, Path]], blobs: Folder) -> None:
        """Put back what somebody linked meanwhile, and only then give up the rest: large files take time to go."""
        again = read_repo(self._cache.layout, self._repo.folder, ())
        linked = _targets(again) if again else frozenset()
        rest: list[tuple[CachedFile, Path]] = []
        for blob, trash in moved:
            if blob.name in linked and not os.path.lexists(blob.path):
                blobs.replace(trash, blob.name)
                self._kept.append(Kept(self._repo.folder, blob.name, "it was linked meanwhile"))
            else:
                rest.append((blob, trash))
        for blob, trash in rest:
            self._freed[blob.name] = self._give_up(blob, trash)

    def _move_free(
        self, found: Sequence[CachedFile], blobs: Folder, place: Folder | None
    ) -> Iterator[tuple[CachedFile, Path]]:
        """Move those away of which nobody else holds the lock. Who takes it later finds no blob."""
        with contextlib.ExitStack() as locks:
            for blob in found:
                lock = f"{blob.name.partition('.')[0]}.lock"
                if place is None or self._is_free(lock, place, locks):
                    yield blob, self._move(blobs, blob)
                else:
                    self._kept.append(Kept(self._repo.folder, blob.name, "hf is at work with it"))

    @staticmethod
    def _is_free(lock: str, place: Folder, locks: contextlib.ExitStack) -> bool:
        """True when nobody else holds a blob's lock; then we do, if it can be held."""
        return locks.enter_context(blob_lock(lock, create_in=place)) or not os.path.lexists(place.held / lock)

    def _move(self, blobs: Folder, blob: CachedFile) -> Path:
        trash = scratch(self._stage)
        with on_disk("remove", blob.path):
            try:
                blobs.move_out(blob.name, trash)
            except OSError:
                trash = blobs.held / f"{blob.name}.{os.urandom(4).hex()}.incomplete"
                blobs.replace(blob.name, trash.name, source_in=blobs)
        return trash

    def _give_up(self, blob: CachedFile, trash: Path) -> int:
        with on_disk("remove", trash):
            found = trash.lstat()
            trash.unlink()
        if blob.is_shared:
            return release(self._root, blob.real, self._cache.patience)
        return found.st_size if found.st_nlink == 1 else 0

    def _forget(self, gone: Sequence[Garbage]) -> None:
        """Proofs and records of what is nowhere any more; the folder, when nothing is left in it."""
        folder, cache = self._repo.folder, self._cache
        digests = [digest for item in gone for name in sorted(item.blobs) if (digest := digest_of(name))]
        digests = [digest for digest in digests if not cache.layout.blob(self._repo.repo, digest).exists()]
        cache.proofs.forget(folder, digests)
        left = read_repo(cache.layout, folder)
        if left is None or left.snapshots or left.blobs or left.refs or left.has_bad_refs or left.broken:
            return
        with on_disk("remove", left.path), contextlib.suppress(OSError):
            if self._root.is_moved(folder):
                # The link stays, and leads to a repo as long as it has these: what is pulled again goes there.
                self._root.sweep_aside(folder)
                names: tuple[str, ...] = (ASIDE, "trees", ".no_exist", "refs")
            else:
                names = ("trees", ".no_exist", "refs", "snapshots", "blobs")
            for name in names:
                self._opened.remove_empty(name, is_junk)
            self._root.remove_empty(folder, is_junk)
        if self._root.is_moved(folder) or not left.path.exists():
            cache.proofs.forget_all(folder)
            self._records.forget_all(left.repo)


def _freed_by_files(snapshot: CachedSnapshot) -> int:
    """Bytes of a snapshot without symlinks that have no other name."""
    return sum(found.st_size for found in snapshot.files.values() if found.st_nlink == 1)


def _targets(repo: CachedRepo) -> frozenset[str]:
    """The targets of the links, existing or not."""
    return frozenset(name for snapshot in repo.snapshots for name in snapshot.links.values())
