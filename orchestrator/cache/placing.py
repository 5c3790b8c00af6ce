"""Putting proven bytes where readers look, so that a crash at any step leaves a cache that they read right.

The order, for a batch of files of one snapshot:

1. the content of all of them reaches the disk, while they still are in the stage;
2. each is renamed to `blobs/<etag>`, under huggingface_hub's lock; then the folder's names reach the disk;
3. each snapshot link appears, over a blob that is there; then those folders' names reach the disk;
4. their proofs and piece hashes are remembered.

So a link never leads to nothing or to bytes that a power loss could take back. `publishing` does the rest.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH116
from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from orchestrator.cache.claims import ALONE, Owners, taken_over
from orchestrator.cache.inventory import link_text, look, refuse_planted
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.moved import open_cache_folder
from orchestrator.cache.proofs import Proofs, stamp
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.refs import RepoId
from orchestrator.disk.access import belongs_to_others
from orchestrator.disk.atomic import drop, make_folder, scratch, scratch_folder, write_link
from orchestrator.disk.copies import clone_or_copy
from orchestrator.disk.durability import sync_files, sync_folders
from orchestrator.disk.folders import Folder
from orchestrator.disk.locks import Patience, blob_lock
from orchestrator.errors import IntegrityError
from orchestrator.platform.open_flags import CLOEXEC
from orchestrator.platform.users import give_to_group
from orchestrator.proof.pieces import PieceStore
from orchestrator.proof.verified import VerifiedFile, verify
from orchestrator.system.failures import on_disk

# What a file system without symlinks says.
_NO_SYMLINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_OPEN_FOLDERS = 64  # of one snapshot, at once


class Placer:
    """Places into one snapshot. `entries` given to its methods may name a digest more than once.

    A context manager, which holds the folders open that it writes to: in a cache that a group shares, somebody else may
    exchange one for a link at any time.
    """

    def __init__(  # noqa: PLR0913 - what it writes to, and how
        self,
        layout: CacheLayout,
        proofs: Proofs,
        pieces: PieceStore,
        repo: RepoId,
        commit: str,
        *,
        stage: Path,
        use_symlinks: bool = True,
        owners: Owners = ALONE,
        patience: Patience | None = None,
    ) -> None:
        self._owners = owners
        self._layout = layout
        self._proofs = proofs
        self._pieces = pieces
        self._stage = stage
        self._repo = repo
        self._commit = commit
        self._use_symlinks = use_symlinks
        self._patience = patience or Patience()
        self._stack = contextlib.ExitStack()
        self._open: dict[str, Folder] = {}

    def __enter__(self) -> Placer:
        """Open the folders, made where they are missing. Raises UnsafeError for planted symlinks, and its like."""
        layout = self._layout
        refuse_planted(layout, self._repo)
        with contextlib.ExitStack() as stack:
            self._root = stack.enter_context(open_cache_folder(layout.cache_dir))
            # The snapshot first: a repo folder without `snapshots/` makes `hf cache ls` warn.
            self._snapshot, touched = make_folder(self._root, f"{self._repo.folder}/snapshots/{self._commit}")
            stack.enter_context(self._snapshot)
            self._blobs, more = make_folder(self._root, f"{self._repo.folder}/blobs")
            stack.enter_context(self._blobs)
            sync_folders(self._root, touched + more)
            moved_aside = self._root.aside(self._repo.folder)
            self._aside = moved_aside or scratch_folder(self._root, self._stage)
            # A link or copy is made on the volume of a moved repo at once.
            self._beside_blobs = moved_aside or self._stage
            stack.callback(self._close_opened)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def _close_opened(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def place(self, entries: Sequence[tuple[VerifiedFile, RepoFile]]) -> None:
        """See `HfCache.place`."""
        fresh: dict[Digest, VerifiedFile] = {}
        for verified, file in entries:
            if (verified.digest, verified.size) != (file.digest, file.size):
                raise ValueError(f"{file.path!r} wants {file.digest}, {verified.digest} was verified")
            fresh[verified.digest] = verified
        self._learn_mode()
        # Of these another node has become the writer, so their parts are its own; here they only count as fetched.
        for digest in [digest for digest in fresh if not self._owners.is_ours(digest)]:
            self._placed_by_another(digest)
            del fresh[digest]
        for verified in fresh.values():
            self._grant(verified.path, verified.recheck())
        sync_files([verified.path for verified in fresh.values()])
        moved: list[tuple[Digest, os.stat_result]] = []
        try:
            for verified in fresh.values():
                moved.append((verified.digest, self._move(verified)))
            sync_folders(self._root, [self._blobs.path])
            self.expose(file for _, file in entries)
        finally:
            self._proofs.add(self._repo.folder, moved)
        for verified in fresh.values():
            if verified.pieces:
                self._pieces.save(verified.digest, verified.pieces)

    def link(self, entries: Sequence[tuple[RepoFile, PurePath]]) -> None:
        """See `HfCache.link`."""
        self._learn_mode()
        moved: list[tuple[Digest, os.stat_result]] = []
        copies: list[tuple[VerifiedFile, RepoFile]] = []
        try:
            for file, source in {file.digest: (file, Path(source)) for file, source in entries}.values():
                temporary = scratch(self._beside_blobs)
                linked = self._hard_link(file, source, temporary)
                if linked is None:
                    clone_or_copy(source, temporary)
                    copies.append((verify(temporary, file.digest, file.size), file))
                    continue
                with on_disk("place", self._blobs.path / file.blob_name), self._lock(file.digest):
                    self._blobs.replace(temporary, file.blob_name)
                    # Renaming one name of a file over another of the same file changes nothing and says so with 0.
                    temporary.unlink(missing_ok=True)
                moved.append((file.digest, linked))
            sync_folders(self._root, [self._blobs.path])
            if copies:
                self.place(copies)
            self.expose(file for file, _ in entries)
        finally:
            self._proofs.add(self._repo.folder, moved)

    def expose(self, files: Iterable[RepoFile]) -> None:
        """See `HfCache.expose`."""
        touched: set[Path] = set()
        for file in files:
            above, _, name = file.path.rpartition("/")
            folder = self._folder(above, touched)
            with on_disk("link", folder.path / name):
                if self._expose(file, folder, name):
                    touched.add(folder.path)
        sync_folders(self._root, touched)

    def _folder(self, inside: str, touched: set[Path]) -> Folder:
        """A folder of the snapshot, open. The latest used stay so."""
        if not inside:
            return self._snapshot
        known = self._open.pop(inside, None)
        if known is None:
            known, made = make_folder(self._snapshot, inside)
            touched.update(made)
        self._open[inside] = known
        if len(self._open) > _OPEN_FOLDERS:
            self._open.pop(next(iter(self._open))).close()
        return known

    def _learn_mode(self) -> None:
        with on_disk("create", self._stage):
            self._mode = _default_mode(self._stage)
            blobs = os.stat(self._blobs.fd)
        # In a shared cache a set-group-id folder hands its group down; a rename does not, so it is done here.
        self._group = blobs.st_gid if blobs.st_mode & stat.S_ISGID else None

    def _grant(self, path: Path, found: os.stat_result) -> None:
        """Give a staged file the mode and group that it would have if it had been created in `blobs/`."""
        with on_disk("place", path):
            if self._group is not None:
                with contextlib.suppress(PermissionError):
                    give_to_group(path, self._group)
            if self._group is not None or stat.S_IMODE(found.st_mode) != self._mode:
                path.chmod(self._mode)

    def _lock(self, digest: Digest) -> contextlib.AbstractContextManager[bool]:
        return blob_lock(self._layout.lock_file(self._repo, digest), self._patience)

    def _move(self, verified: VerifiedFile) -> os.stat_result:
        """Rename into place; returns the stat of what lies there then. Another run's proven blob is kept instead."""
        name = verified.digest.hex
        target = self._blobs.path / name
        with on_disk("place", target), self._lock(verified.digest):
            if not self._owners.is_ours(verified.digest):
                return self._placed_by_another(verified.digest)
            mine = verified.recheck()
            there = look(target, self._layout.cache_dir)
            if there is not None and self._proofs.is_proven(self._repo.folder, verified.digest, there):
                verified.path.unlink()
                return there
            try:
                self._blobs.replace(verified.path, name)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                return self._move_across(verified)
            return mine

    def _placed_by_another(self, digest: Digest) -> os.stat_result:
        """The stat of a blob that another node had to place. Raises TemporaryError while it has not."""
        there = look(self._blobs.path / digest.hex, self._layout.cache_dir)
        if there is None or not self._proofs.is_proven(self._repo.folder, digest, there):
            raise taken_over(f"{digest.hex[:12]}…")
        return there

    def _move_across(self, verified: VerifiedFile) -> os.stat_result:
        """The stage is on another volume: copy, prove the copy, rename that. A file that is made here has its mode."""
        # huggingface_hub prunes names of this form, should a crash leave it.
        name = f"{verified.digest.hex}.{os.urandom(4).hex()}.incomplete"
        temporary = self._blobs.held / name
        clone_or_copy(verified.path, temporary)
        try:
            verify(temporary, verified.digest, verified.size)
            sync_files([temporary])
            found = self._blobs.lstat(name)
            self._blobs.replace(name, verified.digest.hex, source_in=self._blobs)
        except BaseException:
            drop(temporary)
            raise
        verified.path.unlink()
        return found

    def _hard_link(self, file: RepoFile, source: Path, temporary: Path) -> os.stat_result | None:
        """Make `temporary` another name of the proven `source`; None where hard links are not possible."""
        found = look(source, self._layout.cache_dir)
        if found is None or found.st_size != file.size:
            raise IntegrityError(f"{os.fspath(source)!r} is no longer the file that was verified", file=file.path)
        try:
            os.link(os.path.realpath(source), temporary, follow_symlinks=False)
        except OSError:
            return None
        folder = source.relative_to(self._layout.cache_dir).parts[0]
        linked = os.lstat(temporary)
        if not self._proofs.is_proven(folder, file.digest, linked):
            try:
                verify(temporary, file.digest, file.size)
                sync_files([temporary])
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return linked

    def _expose(self, file: RepoFile, folder: Folder, name: str) -> bool:
        # Never a link to nothing: this says so when the blob is gone.
        self._blobs.stat(file.blob_name)
        if self._use_symlinks:
            try:
                return write_link(folder, name, link_text(file.path, file.digest), self._aside)
            except OSError as error:
                if error.errno not in _NO_SYMLINKS:
                    raise
        return self._expose_as_file(file, folder, name)

    def _expose_as_file(self, file: RepoFile, folder: Folder, name: str) -> bool:
        """Expose a blob without symlinks: by a hard link, else a copy. The blob stays, so that `find` still knows
        it."""
        blob = self._blobs.path / file.blob_name
        with contextlib.suppress(FileNotFoundError):
            # A copy keeps size and mtime, a hard link the inode too.
            there, mine = folder.lstat(name), os.stat(blob)
            is_sound = os.path.samestat(there, mine) or not belongs_to_others(there)
            if is_sound and stamp(there)[:2] == stamp(mine)[:2]:
                return False
        temporary = scratch(self._aside)
        try:
            try:
                os.link(os.path.realpath(blob), temporary, follow_symlinks=False)
            except OSError:
                clone_or_copy(blob, temporary)
                found = os.stat(blob)
                os.utime(temporary, ns=(found.st_atime_ns, found.st_mtime_ns))
                sync_files([temporary])
            folder.replace(temporary, name)
        finally:
            temporary.unlink(missing_ok=True)
        return True


def _default_mode(folder: Path) -> int:
    """The mode of a new file, which is 0666 less the umask; huggingface_hub finds it out in the same way.

    Reading the umask by setting it would race with other threads.
    """
    probe = scratch(folder)
    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOEXEC, 0o666)
    try:
        return stat.S_IMODE(os.fstat(fd).st_mode)
    finally:
        os.close(fd)
        probe.unlink(missing_ok=True)
