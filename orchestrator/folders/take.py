"""`cache import`: files that someone already has on disk go into the cache by their digest, whatever their names.

A file is looked at only if some listing wants one of its size. It is read once for its digests; if they are those of a
listing, the file is copied into the stage (sharing blocks where the file system can), the copy is proven as a download
would be, and placed. The folder itself is left as it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from orchestrator.cache.cache import Cache, HfCache
from orchestrator.cache.layout import is_junk
from orchestrator.catalogs.sites import Sites
from orchestrator.core.files import Algorithm, Digest, RepoFile
from orchestrator.core.plan import Have, ResolvedModel
from orchestrator.core.refs import Ref, RepoId
from orchestrator.disk import space
from orchestrator.disk.access import others_who_may_write
from orchestrator.disk.copies import Mode, make
from orchestrator.errors import (
    CannotCreateError,
    DiskIOError,
    GlmAriaError,
    IntegrityError,
    Interrupted,
    NotFoundError,
    TemporaryError,
    UsageError,
)
from orchestrator.events import Emit, Phase, Queued
from orchestrator.folders.listings import listings_for
from orchestrator.layouts.interface import OWN, Layout, ToolFolder
from orchestrator.lists.request import PullRequest
from orchestrator.platform.files import walk_paths
from orchestrator.proof.hashing import read_both, read_whole
from orchestrator.proof.progress import Reading
from orchestrator.proof.verified import verify
from orchestrator.resolve.resolve import remember
from orchestrator.system.failures import translate
from orchestrator.system.signals import Stop

_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""A link to nothing or to itself, or a file that went meanwhile."""


class ImportState(StrEnum):
    """The outcome of a file of the folder; the values are those of the JSON."""

    IMPORTED = "imported"
    WOULD = "would-import"
    PRESENT = "present"
    UNMATCHED = "unmatched"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """A request to import: a folder, and the models; without one, all that were ever listed here.

    The names in the folder of a program with this `layout` say more models. With `hard` a file on the cache's volume
    becomes part of the cache instead of being copied.
    """

    folder: ToolFolder
    pull: PullRequest
    layout: Layout | None = None
    hard: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """A file of the folder. `wanted` are the files of models that it is; `reason` says why it was not taken."""

    path: Path
    size: int
    state: ImportState
    digest: Digest | None = None
    wanted: tuple[tuple[Ref, str], ...] = ()
    mode: Mode | None = None
    reason: str | None = None
    error: GlmAriaError | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """The files that a model still lacks."""

    ref: Ref
    commit: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ImportReport:
    """All files of the folder, and the models that got something, or that were named."""

    files: tuple[Imported, ...]
    models: tuple[Left, ...]
    is_dry: bool
    folder: ToolFolder
    layout: str | None
    interrupted: int | None = None


@dataclass(slots=True)
class _Wanted:
    """All that listings want, by size and by digest; `have` are the digests that need nothing any more."""

    models: list[ResolvedModel]
    sizes: dict[int, set[Algorithm]] = field(default_factory=dict)
    files: dict[Digest, list[tuple[ResolvedModel, RepoFile]]] = field(default_factory=dict)
    have: set[Digest] = field(default_factory=set)


def take(request: ImportRequest, sites: Sites, cache: Cache, *, stop: Stop, emit: Emit) -> ImportReport:
    """Import. What is wrong with a file is in the report, not raised.

    Raises NotFoundError when the folder is no folder or no listing is known, UsageError when it is of the cache itself,
    what resolving raises, NoSpaceError and the like of the cache's disk.
    """
    folder, own = request.folder.folder, Path(os.path.realpath(cache.layout.cache_dir))
    if not folder.is_dir():
        raise NotFoundError(f"{os.fspath(folder)!r} is not a folder", hint="name the folder that has the files")
    if Path(os.path.realpath(folder)).is_relative_to(own):
        raise UsageError(
            f"{os.fspath(folder)!r} is the cache itself, or in it: there is nothing to import",
            hint="to read its files again: glm-aria verify",
        )
    claims = request.layout.claims(folder) if request.layout else ()
    listings = listings_for(request.pull, claims, sites, cache.records, emit)
    models, asked = listings.models, {id(model) for model in listings.asked}
    done: list[Imported] = []
    walk = _Walk(folder, own)
    with cache.blobs.use() as use:
        use.hold({model.ref.repo.folder for model in models})
        wanted = _index(models, cache.blobs)
        # Of what programs leave in any folder only that is told which some model has on purpose.
        paths = [
            item
            for item in walk.files()
            if item[1].st_size in wanted.sizes or not is_junk(item[0].relative_to(folder).as_posix())
        ]
        todo = [(path, found) for path, found in paths if found.st_size in wanted.sizes]
        emit(Queued(len(todo), sum(found.st_size for _, found in todo), to="look at"))
        stop.is_abrupt = False
        taker = _Taker(wanted, request, cache, stop, emit)
        try:
            for path, found in paths:
                done.append(taker.take(path, found))
            if not request.dry_run:
                for model in taker.touched.values():
                    _publish_if_whole(model, cache, sites if id(model) in asked else None)
        except Interrupted:
            stop.set()
        shown = models if request.pull.items else list(taker.touched.values())
        left = tuple(_left(model, cache.blobs) for model in shown)
    name = request.layout.name if request.layout else None
    stopped = stop.signal_number if stop.is_set() else None
    return ImportReport((*done, *walk.closed), left, request.dry_run, request.folder, name, stopped)


def _index(models: list[ResolvedModel], blobs: HfCache) -> _Wanted:
    wanted = _Wanted(models)
    for model in models:
        found = blobs.find(model.ref.repo, model.wanted.files)
        for file in model.wanted.files:
            wanted.sizes.setdefault(file.size, set()).add(file.digest.algorithm)
            wanted.files.setdefault(file.digest, []).append((model, file))
            if found[file.digest].have is Have.PLACED:
                wanted.have.add(file.digest)
    return wanted


@dataclass(slots=True)
class _Walk:
    """Finds the files below `folder`, but for ours and those of the cache itself; `closed` is what may not be read."""

    folder: Path
    own: Path
    closed: list[Imported] = field(default_factory=list)

    def files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Every regular file, each content once; links to files are followed, to folders are not."""
        seen: set[tuple[int, int]] = set()
        for at, folders, names in walk_paths(self.folder, onerror=self._refused):
            real = Path(os.path.realpath(at))
            folders[:] = sorted(name for name in folders if name != OWN and real / name != self.own)
            for name in sorted(names):
                path = Path(at, name)
                try:
                    found = path.stat()
                except OSError as error:
                    self._refused(error)
                    continue
                key = (found.st_dev, found.st_ino)
                if stat.S_ISREG(found.st_mode) and key not in seen:
                    seen.add(key)
                    yield path, found

    def _refused(self, error: OSError) -> None:
        path = Path(os.fsdecode(error.filename or self.folder))
        if error.errno not in _NOTHING_THERE:
            self.closed.append(_failed(path, 0, translate(error, "read", path)))


@dataclass(slots=True)
class _Taker:
    """Takes file by file; `touched` are the models that one of them belonged to."""

    wanted: _Wanted
    request: ImportRequest
    cache: Cache
    stop: Stop
    emit: Emit
    touched: dict[int, ResolvedModel] = field(default_factory=dict)

    def take(self, path: Path, found: os.stat_result) -> Imported:
        """The outcome of a file."""
        size = found.st_size
        if size not in self.wanted.sizes:
            return Imported(path, size, ImportState.UNMATCHED, reason="no listing has a file of this size")
        try:
            digests = self._digests(path, found)
        except (CannotCreateError, DiskIOError) as error:
            return _failed(path, size, error)
        try:
            digest = next((digest for digest in digests if digest in self.wanted.files), None)
            if digest is None:
                return Imported(
                    path, size, ImportState.UNMATCHED, reason="listings have other bytes for a file of this size"
                )
            uses = self.wanted.files[digest]
            refs = tuple(dict.fromkeys((model.ref, file.path) for model, file in uses))
            self.touched |= {id(model): model for model, _ in uses}
            if digest in self.wanted.have:
                return Imported(path, size, ImportState.PRESENT, digest, refs)
            if self.request.dry_run:
                return Imported(path, size, ImportState.WOULD, digest, refs)
            mode = self._place(path, digest, uses)
            self.wanted.have.add(digest)
            return Imported(path, size, ImportState.IMPORTED, digest, refs, mode)
        except (DiskIOError, IntegrityError, TemporaryError) as error:
            return _failed(path, size, error)

    def _digests(self, path: Path, found: os.stat_result) -> tuple[Digest, ...]:
        real = Path(os.path.realpath(path))
        # The digest is unknown until the end; use a placeholder key.
        key = Digest(Algorithm.SHA256, f"{found.st_dev:x}{found.st_ino:x}".rjust(64, "0")[-64:])
        reading = Reading(self.emit, key, path.name, Phase.HASHING, found.st_size)
        reading.begin()
        algorithms, stop = self.wanted.sizes[found.st_size], self.stop
        digests: tuple[Digest, ...]
        if len(algorithms) > 1:
            digests = read_both(real, stop=stop, on_bytes=reading)
        else:
            (algorithm,) = algorithms
            digests = (read_whole(real, algorithm, stop=stop, on_bytes=reading).digest,)
        reading.end()
        return digests

    def _place(self, path: Path, digest: Digest, uses: list[tuple[ResolvedModel, RepoFile]]) -> Mode:
        """Into the stage, proven there, and to each model that wants it; returns how it came there."""
        staging, blobs, size = self.cache.staging, self.cache.blobs, uses[0][1].size
        self.cache.refuse_no_staging()
        claim = staging.claim(digest)
        if claim is None:
            raise TemporaryError(f"{path.name!r} is being fetched by another run", file=str(path))
        with claim:
            staging.discard(digest)
            space.check(size, blobs.layout.cache_dir, files=1)
            space.check_largest(size, blobs.layout.cache_dir)
            part = staging.part(digest)
            try:
                mode = _stage(Path(os.path.realpath(path)), part, hard=self.request.hard)
                verified = verify(part, digest, size, stop=self.stop)
                placed: Path | None = None
                for (repo, commit), entries in _by_revision(uses).items():
                    if placed is None:
                        blobs.place(repo, commit, [(verified, file) for file in entries])
                        placed = blobs.layout.blob(repo, digest)
                    else:
                        blobs.link(repo, commit, [(file, placed) for file in entries])
            finally:
                staging.discard(digest)
        return mode


def _failed(path: Path, size: int, error: GlmAriaError) -> Imported:
    return Imported(path, size, ImportState.FAILED, reason=error.message, error=error)


def _stage(source: Path, part: Path, *, hard: bool) -> Mode:
    """Make the part. A file that others may write is copied: it would change in the cache after its proof."""
    if hard:
        with contextlib.suppress(CannotCreateError):
            made = make(Mode.HARD, source, part)
            # Looked at by its new name, which nobody exchanges.
            if others_who_may_write(part.lstat(), part) is None:
                return made
            part.unlink()
    return make(Mode.AUTO, source, part)


def _by_revision(uses: list[tuple[ResolvedModel, RepoFile]]) -> Mapping[tuple[RepoId, str], list[RepoFile]]:
    """The revisions to place into: the latest that was listed of each repo, since nobody asked for the older ones."""
    latest: dict[str, tuple[RepoId, str]] = {}
    found: dict[tuple[RepoId, str], list[RepoFile]] = {}
    for model, file in uses:
        key = latest.setdefault(model.ref.repo.folder, (model.ref.repo, model.commit))
        if key[1] == model.commit:
            found.setdefault(key, []).append(file)
    return found


def _left(model: ResolvedModel, blobs: HfCache) -> Left:
    found = blobs.find(model.ref.repo, model.wanted.files)
    missing = {file.digest: file.size for file in model.wanted.files if found[file.digest].have is Have.NOTHING}
    return Left(model.ref, model.commit, len(missing), sum(missing.values()))


def _publish_if_whole(model: ResolvedModel, cache: Cache, asked: Sites | None) -> None:
    """Show a model that is complete by now to readers, and record what the `asked` sites said of it."""
    found = cache.blobs.find(model.ref.repo, model.wanted.files)
    if any(item.have is not Have.PLACED for item in found.values()):
        return
    cache.blobs.expose(model.ref.repo, model.commit, model.wanted.files)
    if asked is not None:
        remember(model, cache.records, asked)
    cache.blobs.publish(model)
