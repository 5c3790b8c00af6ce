"""Entries of the cache for `verify`: each distinct file once, with all its names."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISLNK

from orchestrator.cache import census, trees
from orchestrator.cache.cache import HfCache
from orchestrator.cache.census import CachedFile, CachedRepo, CachedSnapshot, Census
from orchestrator.cache.records import Records
from orchestrator.core.files import Digest
from orchestrator.core.refs import Ref, RepoId, Target
from orchestrator.disk.file_stat import FileStat
from orchestrator.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Word:
    """The word that a revision was listed by: the source of its trust, and whether it asked for a token.

    `pinned` is the ref at which its bytes lie, as `Record` has it.
    """

    source: str
    is_restricted: bool
    pinned: Ref | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """A path by which readers know a blob: `path` in `repo` at `commit`. `word` is None for what others pulled."""

    repo: RepoId
    commit: str
    path: str
    word: Word | None = None


@dataclass(slots=True)
class Entry:
    """One file of the cache. `places` are where it lies; none when it is missing.

    `digest` is what it ought to have, None where nobody said; `size` likewise.
    """

    digest: Digest | None
    size: int | None
    names: list[Name]
    places: list[CachedFile]

    @property
    def real(self) -> Path | None:
        """The file itself."""
        return self.places[0].real if self.places else None

    @property
    def found(self) -> FileStat | None:
        """The stat of the file itself."""
        return self.places[0].found if self.places else None

    @property
    def label(self) -> str:
        """A name for people."""
        return self.names[0].path if self.names else Path(self.places[0].name).name


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
                    _add(entries, name, seen)
        if not globs and len(snapshots) == len(repo.snapshots):
            for blob in repo.blobs.values():
                _add(entries, None, _Seen(census.digest_of(blob.name), None, blob))
    if globs and not entries:
        raise NotFoundError(f"no file in the cache matches {' '.join(globs)}", hint="* also crosses /")
    files = sorted(entries.values(), key=lambda entry: entry.label)
    files.sort(key=lambda entry: entry.found.st_size if entry.found else 0, reverse=True)
    return files


def refuse_closed(found: Census, target: Target) -> None:
    """Raise the reason when the target's folder is there and is not read."""
    for path, error in found.closed.items():
        if path.name == target.repo.folder:
            raise error


@dataclass(frozen=True, slots=True)
class _Seen:
    digest: Digest | None
    size: int | None
    place: CachedFile | None


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
    word, listed = _listing(cache, records, repo, snapshot)
    # What no listing in the cache names may be in the record of what the root said.
    strays = {path: found for path, found in snapshot.strays.items() if path in listed}
    for path, blob_name in snapshot.links.items():
        wanted, size = listed.pop(path, (blob_name, None))  # consumed, as it is a third of what is kept of a file
        digest = census.digest_of(blob_name)
        name = Name(repo.repo, snapshot.commit, path, word)
        if digest is not None and wanted != blob_name:
            # A link to some other file: what the listing names is not there for readers, whatever lies in blobs.
            yield name, _Seen(census.digest_of(wanted), size, None)
        else:
            yield name, _Seen(digest, size, repo.blobs.get(blob_name))
    for path, found in {**snapshot.files, **strays}.items():
        wanted, size = listed.get(path, ("", None))
        place = None if S_ISLNK(found.st_mode) else CachedFile(snapshot.path, path, found)
        yield Name(repo.repo, snapshot.commit, path, word), _Seen(census.digest_of(wanted), size, place)


def _listing(
    cache: HfCache, records: Records, repo: CachedRepo, snapshot: CachedSnapshot
) -> tuple[Word | None, dict[str, tuple[str, int]]]:
    """Find the word that a revision was listed by, and the blob name and size of each path."""
    record = records.load(repo.repo, snapshot.commit)
    if record is not None:
        word = Word(record.trust.source, record.is_restricted, record.pinned)
        return word, {file.path: (_text_of(repo, file.blob_name), file.size) for file in record.tree.files}
    return None, dict(trees.listed(cache.layout.tree_file(repo.repo, snapshot.commit)))


def _text_of(repo: CachedRepo, name: str) -> str:
    """The same name as the census has it: not a second text of each."""
    blob = repo.blobs.get(name)
    return blob.name if blob else name


def _add(entries: dict[object, Entry], name: Name | None, seen: _Seen) -> None:
    place = seen.place
    key: object = (seen.digest, place.inode if place else name)
    entry = entries.get(key)
    if entry is None:
        # Lists of one, made as such, are a third smaller than those that grew.
        entries[key] = Entry(seen.digest, seen.size, [name] if name else [], [place] if place else [])
        return
    if entry.size is None:
        entry.size = seen.size
    if name is not None:
        entry.names.append(name)
    if place is not None and place not in _latest(entry.places, place.repo_folder):
        entry.places.append(place)


def _latest(places: Sequence[CachedFile], repo_folder: str) -> Iterator[CachedFile]:
    """The places in a repo, which come last: thousands of repos may share a file."""
    return itertools.takewhile(lambda place: place.repo_folder == repo_folder, reversed(places))


def commits_of(names: Iterable[Name]) -> dict[tuple[RepoId, str], list[str]]:
    """The paths of each revision."""
    found: dict[tuple[RepoId, str], list[str]] = {}
    for name in names:
        found.setdefault((name.repo, name.commit), []).append(name.path)
    return found
