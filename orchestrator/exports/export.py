"""The export of a model: its files are proven, and described for other programs. Asks nobody.

Pieces of a torrent, and sha-256 where the listing has another hash, are made by a read that proves the file again.

A description holds no credential. That of a closed model tells its paths and digests to all who read it: it is made on
demand only, and without addresses, which would refuse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrator import __version__
from orchestrator.cache.cache import Cache
from orchestrator.core.dialects import DEFAULT, Dialect, dialects
from orchestrator.core.files import Algorithm
from orchestrator.core.refs import RepoId, Target
from orchestrator.core.sources import Origin, Source, parse_source
from orchestrator.core.trust import Level, Trust
from orchestrator.disk.atomic import write_file
from orchestrator.errors import CannotCreateError, IntegrityError, NotAllowedError
from orchestrator.exports.torrent import Torrent, TorrentFile, TorrentHasher, piece_length, web_seeds
from orchestrator.folders.cached import CachedModel, open_model
from orchestrator.layouts.interface import ProvenFile
from orchestrator.proof.hashing import BUFFER, Hasher, halt, open_to_read
from orchestrator.system.failures import on_disk
from orchestrator.system.signals import Stop
from orchestrator.templating import render

SourcesOf = Callable[[Dialect], Sequence[Source]]


class ExportKind(StrEnum):
    """The forms of a description."""

    TORRENT = "torrent"
    METALINK = "metalink"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A request for a description of a model at `path`. `trackers` are for a torrent. `is_closed_too`: one of a model
    that is closed, or not known to be open, as well."""

    target: Target
    kind: ExportKind
    path: Path
    trackers: tuple[str, ...] = ()
    is_closed_too: bool = False


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The report on a description: of what, where, and with how many addresses a file. `info_hash` is that of a
    torrent. `missing` are paths that the model's listing names and the cache lacks."""

    repo: RepoId
    commit: str
    trust: Trust | None
    kind: ExportKind
    path: Path
    files: int
    size: int
    addresses: int
    info_hash: str | None
    missing: tuple[str, ...]


def export(request: ExportRequest, cache: Cache, sources_of: SourcesOf, *, stop: Stop) -> ExportReport:
    """Describe the model, in one step.

    Raises NotAllowedError for a model that is not open, IntegrityError when a file's bytes are not those that were
    proven, CannotCreateError where there is no folder for it, what `open_model` raises, and what a disk does.
    """
    repo = request.target.repo
    if not request.path.parent.is_dir():
        raise CannotCreateError(
            f"{request.path} cannot be written: its folder is not there",
            hint="make that folder first, or name another one",
            file=str(request.path),
        )
    with cache.blobs.use() as use:
        model = open_model(request.target, cache, use, stop)
        is_open = cache.records.is_open(repo.folder)
        if not (is_open or request.is_closed_too):
            raise NotAllowedError(
                f"{repo.url_path} is gated or private, or was never listed here; nothing was written",
                hint="--closed describes it all the same: paths, sizes and digests, and no address",
            )
        places = _Places.of(repo, model, sources_of if is_open else lambda _: ())
        named = f"{repo.url_path}@{model.commit}"
        if request.kind is ExportKind.TORRENT:
            torrent = _torrent(model, named, places, request.trackers, stop)
            content, addresses, info_hash = bytes(torrent), len(torrent.seeds), torrent.info_hash
        else:
            content, addresses, info_hash = _metalink(model, named, places, stop).encode(), len(places.sources), None
    write_file(request.path, content, request.path.parent)
    return ExportReport(
        repo=repo,
        commit=model.commit,
        trust=model.record.trust if model.record else None,
        kind=request.kind,
        path=request.path,
        files=len(model.files),
        size=sum(item.file.size for item in model.files),
        addresses=addresses,
        info_hash=info_hash,
        missing=model.missing,
    )


@dataclass(frozen=True, slots=True)
class _Places:
    """The sources of a model's files, by the addresses that they have there."""

    repo: RepoId
    commit: str
    kind: Dialect
    sources: tuple[Source, ...]

    @classmethod
    def of(cls, repo: RepoId, model: CachedModel, sources_of: SourcesOf) -> _Places:
        """The sources of the kind that listed it; where each site has commits of its own, the one that did."""
        if model.record and model.record.pinned:
            # A registry knows blobs and no files, and its name is nobody else's business.
            return cls(repo, model.commit, DEFAULT, ())
        listed_by = model.record.trust.source if model.record else ""
        known = [source for kind in dialects() for source in sources_of(kind)]
        if (
            known
            and model.record
            and model.record.trust.level == Level.ROOT
            and listed_by not in {one.url for one in known}
        ):
            # It was pulled with another root than that of the settings, which may not even have it.
            known = [parse_source(listed_by, is_root=True), *(one for one in known if not one.is_root)]
        kind = next((source.kind for source in known if source.url == listed_by), DEFAULT)
        chosen = (one for one in known if one.kind is kind and (kind.has_git_commits or one.url == listed_by))
        return cls(repo, model.commit, kind, tuple(chosen))

    def urls(self, path: str) -> list[str]:
        """The addresses of a file."""
        return [source.file_url(self._origin(path)) for source in self.sources]

    def seeds(self, path: str) -> tuple[str, ...]:
        """The addresses of web seeds, by the example of a file."""
        return web_seeds(self._origin(path), self.sources)

    def _origin(self, path: str) -> Origin:
        return Origin(self.repo, self.commit, path, self.kind)


def _torrent(model: CachedModel, named: str, places: _Places, trackers: tuple[str, ...], stop: Stop) -> Torrent:
    files = tuple(TorrentFile(item.file.path, item.file.size) for item in model.files)
    piece = piece_length(sum(file.size for file in files))
    hasher = TorrentHasher(piece)
    for item in model.files:
        _read(item, hasher.update, stop)
    seeds = places.seeds(files[0].path) if files else ()
    return Torrent(model.commit, files, piece, hasher.hashes(), seeds, trackers, named, f"glm-aria {__version__}")


def _metalink(model: CachedModel, named: str, places: _Places, stop: Stop) -> str:
    files = []
    for item in model.files:
        sha256 = hashlib.sha256()
        if item.file.digest.algorithm is not Algorithm.SHA256:
            _read(item, sha256.update, stop)
        hex_ = item.file.digest.hex if item.file.digest.algorithm is Algorithm.SHA256 else sha256.hexdigest()
        path = item.file.path
        files.append({"path": path, "size": item.file.size, "sha256": hex_, "urls": places.urls(path)})
    return render("metalink.xml", version=__version__, title=named, files=files)


def _read(item: ProvenFile, update: Callable[[memoryview], None], stop: Stop) -> None:
    """Give all bytes of a file to `update`. Raises IntegrityError when they are others than it must have."""
    file, buffer = item.file, memoryview(bytearray(BUFFER))
    hasher = Hasher(file.digest.algorithm, file.size, with_pieces=False)
    with on_disk("read", item.real), open(open_to_read(item.real), "rb", buffering=0) as opened:  # noqa: PTH123
        while count := opened.readinto(buffer):
            halt(stop)
            hasher.update(buffer[:count])
            update(buffer[:count])
    if hasher.digest() != file.digest:
        raise IntegrityError(
            f"{file.path!r} in the cache is corrupt; nothing was written",
            hint="glm-aria verify --repair",
            file=file.path,
        )
