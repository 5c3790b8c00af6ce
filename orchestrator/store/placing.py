"""Putting proven bytes where readers look, so that a crash at any step leaves a cache that they read right.

The order, for a batch of files of one snapshot:

1. the content of all of them reaches the disk, while they still are in the stage;
2. each is renamed to `blobs/<etag>`, under huggingface_hub's lock; then the folder's names reach the disk;
3. each snapshot link appears, over a blob that is there; then those folders' names reach the disk;
4. their proofs and piece hashes are remembered.

So a link never leads to nothing or to bytes that a power loss could take back. `publishing` does the rest.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH105, PTH116
from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath

from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.refs import RepoId
from orchestrator.errors import IntegrityError
from orchestrator.oserrors import on_disk
from orchestrator.store.copying import clone_or_copy
from orchestrator.store.durability import sync_files, sync_folders
from orchestrator.store.inventory import link_text, look, refuse_planted
from orchestrator.store.layout import CacheLayout
from orchestrator.store.leases import taken_over
from orchestrator.store.locks import blob_lock
from orchestrator.store.pieces import PieceStore
from orchestrator.store.proofs import Proofs, stamp
from orchestrator.store.verify import VerifiedFile, verify
from orchestrator.store.writing import make_folder, scratch, write_link

MayPlace = Callable[[Digest], bool]
"""False when another node has become the writer of a blob (see `leases`)."""
# What a file system without symlinks says.
_NO_SYMLINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class Placer:
    """Places into one snapshot. `entries` given to its methods may name a digest more than once."""

    def __init__(
        self,
        layout: CacheLayout,
        proofs: Proofs,
        pieces: PieceStore,
        repo: RepoId,
        commit: str,
        *,
        use_symlinks: bool = True,
        may_place: MayPlace = lambda _digest: True,
    ) -> None:
        self._may_place = may_place
        self._layout = layout
        self._proofs = proofs
        self._pieces = pieces
        self._stage = proofs.state_dir / "stage"
        self._repo = repo
        self._commit = commit
        self._use_symlinks = use_symlinks
        self._blobs = layout.repo_dir(repo) / "blobs"
        self._snapshot = layout.snapshot(repo, commit)

    def place(self, entries: Sequence[tuple[VerifiedFile, RepoFile]]) -> None:
        """See `HfCache.place`."""
        fresh: dict[Digest, VerifiedFile] = {}
        for verified, file in entries:
            if (verified.digest, verified.size) != (file.digest, file.size):
                raise ValueError(f"{file.path!r} wants {file.digest}, {verified.digest} was verified")
            fresh[verified.digest] = verified
        self._open_up()
        # Of these another node has become the writer, so their parts are its own; here they only count as fetched.
        for digest in [digest for digest in fresh if not self._may_place(digest)]:
            self._placed_by_another(digest)
            del fresh[digest]
        for verified in fresh.values():
            verified.recheck()
            self._grant(verified.path)
        sync_files([verified.path for verified in fresh.values()])
        moved: list[tuple[Digest, os.stat_result]] = []
        try:
            for verified in fresh.values():
                moved.append((verified.digest, self._move(verified)))
            sync_folders([self._blobs])
            self.expose(file for _, file in entries)
        finally:
            self._proofs.add(self._repo.folder, moved)
        for verified in fresh.values():
            if verified.pieces:
                self._pieces.save(verified.digest, verified.pieces)

    def link(self, entries: Sequence[tuple[RepoFile, PurePath]]) -> None:
        """See `HfCache.link`."""
        self._open_up()
        moved: list[tuple[Digest, os.stat_result]] = []
        copies: list[tuple[VerifiedFile, RepoFile]] = []
        try:
            for file, source in {file.digest: (file, Path(source)) for file, source in entries}.values():
                temporary = scratch(self._stage)
                linked = self._hard_link(file, source, temporary)
                if linked is None:
                    clone_or_copy(source, temporary)
                    copies.append((verify(temporary, file.digest, file.size), file))
                    continue
                with on_disk("place", self._blobs / file.blob_name), self._lock(file.digest):
                    os.replace(temporary, self._blobs / file.blob_name)
                    # Renaming one name of a file over another of the same file changes nothing and says so with 0.
                    temporary.unlink(missing_ok=True)
                moved.append((file.digest, linked))
            sync_folders([self._blobs])
            if copies:
                self.place(copies)
            self.expose(file for file, _ in entries)
        finally:
            self._proofs.add(self._repo.folder, moved)

    def expose(self, files: Iterable[RepoFile]) -> None:
        """See `HfCache.expose`."""
        refuse_planted(self._layout, self._repo)
        made: set[Path] = set()
        touched: set[Path] = set()
        for file in files:
            entry = self._snapshot / file.path
            if entry.parent not in made:
                touched.update(make_folder(self._layout.cache_dir, entry.parent))
                made.add(entry.parent)
            with on_disk("link", entry):
                if self._expose(file, entry):
                    touched.add(entry.parent)
        sync_folders(touched)

    def _open_up(self) -> None:
        refuse_planted(self._layout, self._repo)
        with on_disk("create", self._layout.cache_dir):
            self._layout.cache_dir.mkdir(parents=True, exist_ok=True)
        # The snapshot first: a repo folder without `snapshots/` makes `hf cache ls` warn.
        touched = make_folder(self._layout.cache_dir, self._snapshot)
        touched += make_folder(self._layout.cache_dir, self._blobs)
        sync_folders(touched)
        with on_disk("create", self._stage):
            self._mode = _default_mode(self._stage)
            blobs = os.lstat(self._blobs)
        # In a shared cache a set-group-id folder hands its group down; a rename does not, so it is done here.
        self._group = blobs.st_gid if blobs.st_mode & stat.S_ISGID else None

    def _grant(self, path: Path) -> None:
        """Give a staged file the mode and group that it would have if it had been created in `blobs/`."""
        with on_disk("place", path):
            if self._group is not None:
                with contextlib.suppress(PermissionError):
                    os.chown(path, -1, self._group, follow_symlinks=False)
            path.chmod(self._mode)

    def _lock(self, digest: Digest) -> contextlib.AbstractContextManager[bool]:
        return blob_lock(self._layout.lock_file(self._repo, digest))

    def _move(self, verified: VerifiedFile) -> os.stat_result:
        """Rename into place; returns the stat of what lies there then. Another run's proven blob is kept instead."""
        target = self._blobs / verified.digest.hex
        with on_disk("place", target), self._lock(verified.digest):
            if not self._may_place(verified.digest):
                return self._placed_by_another(verified.digest)
            mine = verified.recheck()
            there = look(target, self._layout.cache_dir)
            if there is not None and self._proofs.is_proven(self._repo.folder, verified.digest, there):
                verified.path.unlink()
                return there
            try:
                os.replace(verified.path, target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                return self._move_across(verified, target)
            return mine

    def _placed_by_another(self, digest: Digest) -> os.stat_result:
        """The stat of a blob that another node had to place. Raises TemporaryError while it has not."""
        target = self._blobs / digest.hex
        there = look(target, self._layout.cache_dir)
        if there is None or not self._proofs.is_proven(self._repo.folder, digest, there):
            raise taken_over(f"{digest.hex[:12]}…")
        return there

    def _move_across(self, verified: VerifiedFile, target: Path) -> os.stat_result:
        """The stage turned out to be on another volume: copy, prove the copy, rename that."""
        # huggingface_hub prunes names of this form, should a crash leave it.
        temporary = target.with_name(f"{target.name}.{os.urandom(4).hex()}.incomplete")
        clone_or_copy(verified.path, temporary)
        try:
            verify(temporary, verified.digest, verified.size)
            self._grant(temporary)
            sync_files([temporary])
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        verified.path.unlink()
        return os.lstat(target)

    def _hard_link(self, file: RepoFile, source: Path, temporary: Path) -> os.stat_result | None:
        """Make `temporary` another name of the proven `source`; None where hard links are not possible."""
        found = look(source, self._layout.cache_dir)
        if found is None or found.st_size != file.size:
            raise IntegrityError(f"{os.fspath(source)!r} is no longer the file that was proven", file=file.path)
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

    def _expose(self, file: RepoFile, entry: Path) -> bool:
        # Never a link to nothing: this says so when the blob is gone.
        os.stat(f"{self._blobs}/{file.blob_name}")
        if self._use_symlinks:
            try:
                return write_link(entry, link_text(file.path, file.digest), self._stage)
            except OSError as error:
                if error.errno not in _NO_SYMLINKS:
                    raise
        return self._expose_as_file(file, entry)

    def _expose_as_file(self, file: RepoFile, entry: Path) -> bool:
        """Where there are no symlinks: a hard link, else a copy. The blob stays, so that `find` still knows it."""
        blob = self._blobs / file.blob_name
        with contextlib.suppress(FileNotFoundError):
            # A copy keeps size and mtime, a hard link the inode too.
            if stamp(os.lstat(entry))[:2] == stamp(os.stat(blob))[:2]:
                return False
        temporary = scratch(self._stage)
        try:
            try:
                os.link(os.path.realpath(blob), temporary, follow_symlinks=False)
            except OSError:
                clone_or_copy(blob, temporary)
                found = os.stat(blob)
                os.utime(temporary, ns=(found.st_atime_ns, found.st_mtime_ns))
                sync_files([temporary])
            os.replace(temporary, entry)
        finally:
            temporary.unlink(missing_ok=True)
        return True


def _default_mode(folder: Path) -> int:
    """The mode of a new file, which is 0666 less the umask; huggingface_hub finds it out in the same way.

    Reading the umask by setting it would race with other threads.
    """
    probe = scratch(folder)
    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        return stat.S_IMODE(os.fstat(fd).st_mode)
    finally:
        os.close(fd)
        probe.unlink(missing_ok=True)
