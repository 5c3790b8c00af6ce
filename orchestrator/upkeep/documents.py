"""Reports of `verify` and the `cache` commands, as the data of their JSON documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from orchestrator.core.refs import parse_folder
from orchestrator.core.trust import Level
from orchestrator.documents import Amount, BytesBySource, Count, DigestText
from orchestrator.upkeep.collect import Collected
from orchestrator.upkeep.contents import Contents, HeldRepo, HeldRevision
from orchestrator.upkeep.garbage import Kind
from orchestrator.upkeep.verify import Health, Verified, VerifyReport


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from `start` up to, and without, `end`."""

    start: Count
    end: Count


@dataclass(frozen=True, slots=True)
class UsedBy:
    """A name under which readers of the cache know a file."""

    repo: str
    commit: str
    path: str


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that was verified. `ranges` were found wrong, `places` are where its bytes lie."""

    path: str
    size: Count | None
    digest: DigestText | None
    state: Health
    method: Literal["digest", "pieces"]
    ranges: tuple[ByteRange, ...]
    used_by: tuple[UsedBy, ...]
    places: tuple[str, ...]
    sources: BytesBySource

    @classmethod
    def of(cls, item: Verified) -> Self:
        """The entry of a file."""
        entry = item.entry
        places = [path for place in entry.places for path in (place.real, place.path)]
        return cls(
            path=entry.label,
            size=entry.size if entry.size is not None else entry.found.st_size if entry.found else None,
            digest=str(entry.digest) if entry.digest else None,
            state=item.state,
            method="pieces" if item.is_fast else "digest",
            ranges=tuple(ByteRange(start, end) for start, end in item.ranges),
            used_by=tuple(UsedBy(name.repo.url_path, name.commit, name.path) for name in entry.names),
            places=tuple(map(str, dict.fromkeys(places))),
            sources=dict(item.sources),
        )


@dataclass(frozen=True, slots=True)
class VerifyDocument:
    """The data of `verify`."""

    files: tuple[ReadFile, ...]
    bytes_read: Count
    bytes_fetched: Count
    seconds: Amount
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, report: VerifyReport, *, with_right: bool = True) -> Self:
        """The data of a run. Without `with_right` it leaves out the files that are as they should be."""
        shown = (item for item in report.files if with_right or item.state is not Health.OK)
        read = (item.entry.found for item in report.files if item.state not in (Health.MISSING, Health.UNPROVEN))
        return cls(
            files=tuple(map(ReadFile.of, shown)),
            bytes_read=sum(found.st_size for found in read if found is not None),
            bytes_fetched=sum(sum(item.sources.values()) for item in report.files),
            seconds=round(report.seconds, 3),
            left_out=tuple(map(str, report.left_out)),
        )


@dataclass(frozen=True, slots=True)
class ListedBy:
    """The trust in the listing of a revision, and its source."""

    level: Level
    source: str


@dataclass(frozen=True, slots=True)
class RevisionEntry:
    """A revision. `size_alone` are the bytes that would be free without it; `last_use` is unix seconds."""

    commit: str
    refs: tuple[str, ...]
    files: Count
    size: Count
    size_alone: Count
    last_use: Amount
    trust: ListedBy | None
    pinned: bool

    @classmethod
    def of(cls, held: HeldRevision) -> Self:
        """The entry of a revision."""
        return cls(
            commit=held.commit,
            refs=held.refs,
            files=held.files,
            size=held.size,
            size_alone=held.alone,
            last_use=round(held.last_use, 3),
            trust=ListedBy(Level(held.trust.level), held.trust.source) if held.trust else None,
            pinned=held.is_pinned,
        )


@dataclass(frozen=True, slots=True)
class RepoEntry:
    """A repo. `size_alone` are the bytes that no other repo shares."""

    repo: str
    size: Count
    size_alone: Count
    has_unreadable_refs: bool
    revisions: tuple[RevisionEntry, ...]

    @classmethod
    def of(cls, held: HeldRepo) -> Self:
        """The entry of a repo."""
        revisions = tuple(map(RevisionEntry.of, held.revisions))
        return cls(held.repo.url_path, held.size, held.alone, held.has_bad_refs, revisions)


@dataclass(frozen=True, slots=True)
class CacheDocument:
    """The data of `cache ls` and `cache du`. `closed` are the folders of repos that may not be read."""

    path: str
    size: Count
    size_of_parts: Count
    repos: tuple[RepoEntry, ...]
    left_out: tuple[str, ...]
    closed: tuple[str, ...]

    @classmethod
    def of(cls, found: Contents) -> Self:
        """The data of a cache's contents."""
        repos = tuple(map(RepoEntry.of, found.repos))
        return cls(found.path, found.size, found.parts, repos, found.left_out, tuple(found.closed))


@dataclass(frozen=True, slots=True)
class PinsDocument:
    """The data of `cache pin` and `cache unpin`: all that are pinned then."""

    pins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GarbageEntry:
    """A removal, planned or done; `bytes_freed` are those that the disk gets back."""

    kind: Kind
    repo: str | None
    commit: str | None
    refs: tuple[str, ...]
    path: str
    reason: str
    size: Count
    bytes_freed: Count


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """A revision that the rules name and that stays."""

    repo: str | None
    commit: str
    reason: str


@dataclass(frozen=True, slots=True)
class CollectDocument:
    """The data of `cache gc` and `cache rm`."""

    removed: bool
    bytes_freed: Count
    items: tuple[GarbageEntry, ...]
    kept: tuple[KeptEntry, ...]

    @classmethod
    def of(cls, done: Collected) -> Self:
        """The data of a collection."""
        items = tuple(
            GarbageEntry(
                item.kind,
                _name(item.folder),
                item.commit,
                item.refs,
                str(item.path),
                item.reason,
                item.size,
                item.frees,
            )
            for item in done.garbage
        )
        kept = tuple(KeptEntry(_name(kept.folder), kept.commit, kept.reason) for kept in done.kept)
        return cls(done.is_done, done.bytes_freed, items, kept)


def _name(folder: str) -> str | None:
    repo = parse_folder(folder)
    return repo.url_path if repo else None
