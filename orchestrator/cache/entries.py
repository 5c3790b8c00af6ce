"""Entries of the cache for `verify`: each distinct file once, with all its names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os import stat_result
from pathlib import Path
from stat import S_ISLNK

from orchestrator.cache import census, trees
from orchestrator.cache.cache import HfCache
from orchestrator.cache.census import CachedRepo, CachedSnapshot, Census
from orchestrator.cache.records import Record, Records
from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId, Target
from orchestrator.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Name:
    """A path by which readers know a blob: `path` in `repo` at `commit`. `record` is what the root said of that."""

    repo: RepoId
    commit: str
    path: str
    record: Record | None = None


@dataclass(slots=True)
class Entry:
    """One file of the cache. `places` are the paths where it lies, each with its repo folder; none when it is missing.

    `digest` is what it ought to have, None where nobody said; `size` likewise. `real` and `found` are the file itself.
    """

    digest: Digest | None
    size: int | None
    real: Path | None
    found: stat_result | None
    names: list[Name] = field(default_factory=list)
    places: list[tuple[str, Path]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """A name for people."""
        return self.names[0].path if self.names else self.places[0][1].name


def entries_of(
    found: Census, cache: HfCache, records: Records, targets: Sequence[Target], globs: Sequence[str]
) -> list[Entry]:
    """All files of `found`, or those of `targets`, or of these the ones whose path matches a glob; the biggest first.

    Blobs without a name are among them only when nothing was chosen. Raises NotFoundError for a target, or globs, of
    which nothing is there, and for a target that is closed to us the error that says why.
    """
    repos = [repo for repo in found.repos if not targets or any(repo.repo == t.repo for t in targets)]
    entries: dict[object, Entry] = {}
    for target in targets:
        if not any(repo.repo == target.repo for repo in repos):
            refuse_closed(found, target)
            raise NotFoundError(f"{target} is not in the cache", hint="glm-aria cache ls lists the cached models")
    for repo in repos:
        chosen = [target for target in targets if target.repo == repo.repo]
        snapshots = _snapshots(repo, chosen)
        for snapshot in snapshots:
            for name, seen in _seen(cache, records, repo, snapshot):
                if not globs or any(fnmatchcase(name.path, glob) for glob in globs):
                    _add(entries, name, seen, repo.folder)
        if not globs and len(snapshots) == len(repo.snapshots):
            for blob in repo.blobs.values():
                digest = census.digest_of(blob.name)
                seen = _Seen(digest, None, blob.real, blob.found, blob.path)
                _add(entries, None, seen, repo.folder)
    if globs and not entries:
        raise NotFoundError(f"no file in the cache matches {' '.join(globs)}", hint="* also crosses /")
    return sorted(entries.values(), key=lambda entry: (-(entry.found.st_size if entry.found else 0), entry.label))


def refuse_closed(found: Census, target: Target) -> None:
    """Raise the reason when the target's folder is there and is not read."""
    for path, error in found.closed.items():
        if path.name == target.repo.folder:
            raise error


@dataclass(frozen=True, slots=True)
class _Seen:
    digest: Digest | None
    size: int | None
    real: Path | None
    found: stat_result | None
    place: Path | None


def _snapshots(repo: CachedRepo, chosen: Sequence[Target]) -> list[CachedSnapshot]:
    revisions = [target.revision for target in chosen]
    if not chosen or None in revisions:
        return list(repo.snapshots)
    commits = set()
    for target in chosen:
        commit = repo.refs.get(str(target.revision), target.revision)
        if not any(snapshot.commit == commit for snapshot in repo.snapshots):
            raise NotFoundError(f"{target} is not in the cache", hint="glm-aria cache ls lists the cached models")
        commits.add(commit)
    return [snapshot for snapshot in repo.snapshots if snapshot.commit in commits]


def _seen(cache: HfCache, records: Records, repo: CachedRepo, snapshot: CachedSnapshot) -> Iterator[tuple[Name, _Seen]]:
    record = records.load(repo.repo, snapshot.commit)
    listed = _listing(cache, repo, snapshot, record)
    for path, blob_name in snapshot.links.items():
        wanted, size = listed.get(path, (blob_name, None))
        digest, blob = census.digest_of(blob_name), repo.blobs.get(blob_name)
        name = Name(repo.repo, snapshot.commit, path, record)
        if digest is not None and wanted != blob_name:
            # A link to some other file: what the listing names is not there for readers, whatever lies in blobs.
            yield name, _Seen(census.digest_of(wanted), size, None, None, None)
        elif blob is None:
            yield name, _Seen(digest, size, None, None, None)
        else:
            yield name, _Seen(digest, size, blob.real, blob.found, blob.path)
    # What no listing in the cache names may be in the record of what the root said.
    strays = {path: found for path, found in snapshot.strays.items() if path in listed}
    for path, found in {**snapshot.files, **strays}.items():
        wanted, size = listed.get(path, ("", None))
        place = None if S_ISLNK(found.st_mode) else snapshot.path / path
        yield (
            Name(repo.repo, snapshot.commit, path, record),
            _Seen(census.digest_of(wanted), size, place, found if place else None, place),
        )


def _listing(
    cache: HfCache, repo: CachedRepo, snapshot: CachedSnapshot, record: Record | None
) -> Mapping[str, tuple[str, int]]:
    if record is not None:
        return {file.path: (file.blob_name, file.size) for file in record.tree.files}
    return trees.listed(cache.layout.tree_file(repo.repo, snapshot.commit))


def _add(entries: dict[object, Entry], name: Name | None, seen: _Seen, folder: str) -> None:
    key: object = (seen.digest, name)
    if seen.found is not None:
        key = (seen.digest, seen.found.st_dev, seen.found.st_ino)
    entry = entries.setdefault(key, Entry(seen.digest, seen.size, seen.real, seen.found))
    if entry.size is None:
        entry.size = seen.size
    if name is not None:
        entry.names.append(name)
    if seen.place is not None and (folder, seen.place) not in entry.places:
        entry.places.append((folder, seen.place))


def commits_of(names: Iterable[Name]) -> dict[tuple[RepoId, str], list[str]]:
    """The paths of each revision."""
    found: dict[tuple[RepoId, str], list[str]] = {}
    for name in names:
        found.setdefault((name.repo, name.commit), []).append(name.path)
    return found
