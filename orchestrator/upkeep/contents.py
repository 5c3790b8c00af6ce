"""`cache ls` and `cache du`: what the cache holds, who uses it, and how many bytes are whose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.cache import census as census_
from orchestrator.cache.cache import Cache
from orchestrator.cache.retention.pins import is_named
from orchestrator.core.refs import RepoId
from orchestrator.core.trust import Trust
from orchestrator.upkeep.garbage import freed_by, last_use, size_of


@dataclass(frozen=True, slots=True)
class HeldRevision:
    """A revision. `size` are the bytes of its files, `alone` those that would be free without it.

    `last_use` is unix seconds, `trust` what its listing was worth; None for one that another program put there.
    `is_open`: it is known to be neither gated nor private.
    """

    commit: str
    refs: tuple[str, ...]
    files: int
    size: int
    alone: int
    last_use: float
    trust: Trust | None
    is_pinned: bool
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class HeldRepo:
    """A repo. `size` are the bytes of its distinct files, `alone` those that no other repo shares."""

    repo: RepoId
    revisions: tuple[HeldRevision, ...]
    size: int
    alone: int
    has_bad_refs: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """A whole cache. `size` counts every distinct file once; `parts` are the bytes of unfinished downloads.

    `left_out` are paths of what lies in it and is no part of it, `closed` those of repos that are not
    read, with the reason.
    """

    path: str
    repos: tuple[HeldRepo, ...]
    size: int
    parts: int
    left_out: tuple[str, ...] = ()
    closed: Mapping[str, str] = field(default_factory=dict)


def contents(cache: Cache) -> Contents:
    """Read the cache; changes nothing. Raises DiskIOError when it cannot be read."""
    census = census_.take(cache.layout)
    pins = cache.pins.known()
    owners: dict[bytes, set[str]] = {}
    sizes: dict[str, dict[bytes, int]] = {}
    for repo in census.repos:
        mine = sizes.setdefault(repo.folder, {})
        for blob in repo.blobs.values():
            mine[blob.inode] = blob.found.st_size
        for snapshot in repo.snapshots:
            mine |= {seen.inode: seen.st_size for seen in snapshot.files.values()}
        for inode in mine:
            owners.setdefault(inode, set()).add(repo.folder)
    alone = freed_by(census)
    repos = []
    for repo in census.repos:
        revisions = []
        for snapshot in repo.snapshots:
            record = cache.records.load(repo.repo, snapshot.commit)
            revisions.append(
                HeldRevision(
                    snapshot.commit,
                    repo.refs_of(snapshot.commit),
                    len(snapshot.links) + len(snapshot.files),
                    size_of(repo, snapshot),
                    alone[repo.folder, snapshot.commit],
                    last_use(repo, snapshot),
                    record.trust if record else None,
                    is_named(pins, repo, snapshot.commit),
                    is_open=record is not None and not record.is_restricted,
                )
            )
        mine = sizes[repo.folder]
        unshared = sum(size for inode, size in mine.items() if len(owners[inode]) == 1)
        revisions.sort(key=lambda revision: -revision.last_use)
        repos.append(HeldRepo(repo.repo, tuple(revisions), sum(mine.values()), unshared, repo.has_bad_refs))
    parts = sum(cache.staging.held(digest) for digest, _ in cache.staging.parts())
    left_out = tuple(map(str, census.strays))
    closed = {str(path): error.message for path, error in census.closed.items()}
    size = sum(census.sizes().values())
    return Contents(str(cache.layout.cache_dir), tuple(repos), size, parts, left_out, closed)
