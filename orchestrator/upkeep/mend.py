"""Repair of a corrupt file: its wrong pieces from any source; if no pieces are known, all of it by a pull."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.cache.cache import Cache
from orchestrator.cache.census import SHARED
from orchestrator.cache.entries import Entry, Name, commits_of
from orchestrator.catalogs.sites import Sites
from orchestrator.core.dialects import DEFAULT
from orchestrator.core.refs import Ref
from orchestrator.core.sources import Origin, Source, site_of
from orchestrator.depot.mover import Mover
from orchestrator.errors import GlmAriaError, IntegrityError, TemporaryError
from orchestrator.events import Emit, FileProgress, Notice, Phase
from orchestrator.lists.request import Item, PullRequest
from orchestrator.mirrors.ranges import fetch_range
from orchestrator.mirrors.sources import Sources
from orchestrator.proof.hashing import halt
from orchestrator.proof.pieces import Range, piece_hash
from orchestrator.pulling.pull import pull
from orchestrator.pulling.report import PullReport
from orchestrator.system.signals import Stop
from orchestrator.upkeep.mending import mended_copy, put_back


def mend(  # noqa: PLR0913 - what is rotten, and all that a pull of it uses
    entry: Entry,
    ranges: Sequence[Range],
    *,
    sites: Sites,
    sources: Sources,
    cache: Cache,
    mover: Mover,
    stop: Stop,
    emit: Emit,
) -> dict[str, int]:
    """Repair one file, in all the places where it lies; returns the bytes that each source sent.

    The whole is proven by its digest before it takes the place of the old one. Raises IntegrityError when no source
    has the right bytes, and what the sources and the disk raise; the old file then stays as it was.
    """
    digest = entry.digest
    if digest is None or entry.found is None or entry.real is None or not entry.names:
        raise IntegrityError(
            f"{entry.label!r} is corrupt, and no model uses it", hint="glm-aria cache gc", file=entry.label
        )
    pieces = cache.blobs.pieces.load(digest)
    if pieces is None or ranges == ((0, max(entry.found.st_size, pieces.size)),):
        report = pull(_again(entry, sources), sites, sources, cache, mover, stop=stop, emit=emit)
        return _sent(report)
    claim = cache.staging.claim(digest)
    if claim is None:
        raise TemporaryError(f"another run is using {entry.label!r}", hint="run it again later")
    with claim:
        emit(FileProgress(digest, entry.label, Phase.FETCHING, 0, pieces.size))
        fetch = _Pieces(entry, sites, sources, stop, emit)
        stage = cache.staging.folder
        verified = mended_copy(entry.real, digest, pieces, ranges, fetch, stage, stop=stop)
        files = dict.fromkeys(place.real for place in entry.places)
        cache_dir = cache.layout.cache_dir
        places = [(file, entry.found, _lock(file, cache_dir)) for file in files]
        taken = put_back(cache_dir, verified, places, stage, cache.blobs.patience)
    if not taken:
        raise IntegrityError(f"{entry.label!r} was replaced meanwhile", hint="verify it again", file=entry.label)
    for place in entry.places:
        if place.is_blob:
            cache.blobs.proofs.add(place.repo_folder, [(digest, place.path.stat())])
    emit(FileProgress(digest, entry.label, Phase.DONE, pieces.size, pieces.size))
    return fetch.sent


class _Pieces:
    """Fetches pieces from the first source whose bytes have the right hash; one that lied or failed is left out."""

    def __init__(self, entry: Entry, sites: Sites, sources: Sources, stop: Stop, emit: Emit) -> None:
        self.sent: dict[str, int] = {}
        self._label = entry.label
        self._sources, self._stop, self._emit = sources, stop, emit
        self._errors: list[GlmAriaError] = []
        is_closed = any(name.word is not None and name.word.is_restricted for name in entry.names)
        origins = {origin.kind: origin for origin in (_origin(name, sources) for name in reversed(entry.names))}
        own = [replace(origin, digest=entry.digest) for origin in origins.values() if origin.site is not None]
        self._left = [
            *((sources.first(origin), origin) for origin in own),
            *(
                (source, origins[source.kind])
                for source in sources.ordered
                if source.kind in origins and sites.may_hear(source, source.kind, is_restricted=is_closed)
            ),
        ]

    def __call__(self, start: int, end: int, wanted: bytes) -> bytes:
        for source, origin in tuple(self._left):
            halt(self._stop)
            try:
                data = fetch_range(self._sources.net_for(source, origin), source, origin, start, end)
            except GlmAriaError as error:
                self._errors.append(error)
            else:
                self.sent[source.name] = self.sent.get(source.name, 0) + len(data)
                if piece_hash(data) == wanted:
                    return data
                self._lied(source)
            self._left.remove((source, origin))
        first = self._errors[0] if self._errors else None
        if first and not any(isinstance(error, IntegrityError) for error in self._errors):
            raise first
        raise IntegrityError(
            f"no source sent the right bytes {start}-{end - 1} of {self._label!r}; the file was not changed",
            hint="run it again later, or with another --mirror",
            file=self._label,
        )

    def _lied(self, source: Source) -> None:
        message = f"{source.name} sent wrong bytes for {self._label!r}; they were discarded"
        self._errors.append(IntegrityError(message, file=self._label, source=source.name))
        self._emit(Notice("mirror-lied", message, mirror=source.name, file=self._label))


def _origin(name: Name, sources: Sources) -> Origin:
    """The place in the catalogs. The record's site tells which catalog it came from."""
    if name.word is not None and (pinned := name.word.pinned) is not None:
        return Origin(pinned.repo, name.commit, name.path, pinned.catalog, site=site_of(pinned))
    listed_by = name.word.source if name.word else None
    kind = next((source.kind for source in sources.ordered if source.url == listed_by), DEFAULT)
    return Origin(name.repo, name.commit, name.path, kind)


def _again(entry: Entry, sources: Sources) -> PullRequest:
    """Fetch all of it again, for every revision that needs it."""
    items = []
    for (repo, commit), paths in commits_of(entry.names).items():
        name = next(name for name in entry.names if (name.repo, name.commit) == (repo, commit))
        pinned = name.word.pinned if name.word else None
        ref = pinned or Ref(repo, commit, _origin(name, sources).kind)
        items.append(Item(ref, tuple(glob.escape(path) for path in paths)))
    return PullRequest(tuple(items))


def _sent(report: PullReport) -> dict[str, int]:
    """The bytes that each source sent. Raises the first model's error."""
    for model in report.models:
        if model.error is not None:
            raise model.error
    sent: dict[str, int] = {}
    for model in report.models:
        for file in model.files:
            sent |= file.sources
    return sent


def _lock(file: Path, cache_dir: Path) -> Path:
    """huggingface_hub's lock on a blob, or on a file of its shared store."""
    parts = file.relative_to(cache_dir).parts
    if parts[0] == SHARED:
        return file.with_name(f"{file.name}.lock")
    return cache_dir / ".locks" / parts[0] / f"{file.name}.lock"
