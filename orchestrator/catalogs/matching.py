"""Matching of a listing's files in another catalog: by digest and size, never by name.

Names and paths only suggest where to look: organisations, repos and folders differ between catalogs, and a file of the
same name may have other bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.dialects import Dialect
from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin


class Lack(StrEnum):
    """Reason why a catalog lacks a file. The value completes the sentence `it …`."""

    ABSENT = "lacks"
    CONTENT = "has other content for"
    SIZE = "lists another size for"


@dataclass(frozen=True, slots=True)
class Difference:
    """A large file that the other catalog does not hold."""

    path: str
    lack: Lack


@dataclass(frozen=True, slots=True)
class Match:
    """Files that another catalog holds of a search, and the large ones that it lacks."""

    origins: tuple[tuple[Digest, Origin], ...]
    differences: tuple[Difference, ...]

    @property
    def is_unrelated(self) -> bool:
        """True when not even a path is the same: a repo that only happens to have the name."""
        return not self.origins and all(found.lack is Lack.ABSENT for found in self.differences)

    def describe(self) -> str:
        """The differences for people, each kind with its first file: `it lacks 'a' and 2 more`. Empty without any."""
        parts = []
        for lack in Lack:
            paths = [found.path for found in self.differences if found.lack is lack]
            if paths:
                parts.append(f"it {lack} {paths[0]!r}" + (f" and {len(paths) - 1} more" if paths[1:] else ""))
        return "; ".join(parts)


def match(
    files: Iterable[RepoFile], listing: RepoTree, repo: RepoId, kind: Dialect, source: str | None = None
) -> Match:
    """Look for `files` in the `listing` that a catalog of `kind` gave of its `repo`.

    `source` becomes that of the origins. Files without a sha256 are left alone: the Hub lists git's hash of a small
    file, other kinds its sha256, and neither follows from the other without the bytes. Differences are told only of
    LFS files, since READMEs and configurations differ by custom.
    """
    by_path = {theirs.path: theirs for theirs in listing.files}
    by_digest = _by_digest(listing)
    origins: dict[Digest, Origin] = {}
    differences: list[Difference] = []
    for file in files:
        if file.digest.algorithm is not Algorithm.SHA256:
            continue
        same = by_digest.get(file.digest)
        if same is not None and same.size == file.size:
            origins.setdefault(file.digest, Origin(repo, listing.commit, same.path, kind, source))
        elif file.is_lfs and not _is_beyond_compare(file, by_path.get(file.path)):
            lack = Lack.SIZE if same is not None else Lack.CONTENT if file.path in by_path else Lack.ABSENT
            differences.append(Difference(file.path, lack))
    return Match(tuple(origins.items()), tuple(differences))


def _is_beyond_compare(file: RepoFile, other: RepoFile | None) -> bool:
    """True for a file of which the other catalog tells git's hash only, and the same size."""
    return other is not None and other.digest.algorithm is not Algorithm.SHA256 and other.size == file.size


def _by_digest(listing: RepoTree) -> Mapping[Digest, RepoFile]:
    """One file for each digest: an LFS one where there is one, since only those are surely served in ranges."""
    found: dict[Digest, RepoFile] = {}
    for file in listing.files:
        known = found.get(file.digest)
        if known is None or (file.is_lfs and not known.is_lfs):
            found[file.digest] = file
    return found


def repos_elsewhere(repo: RepoId, kind: Dialect, elsewhere: Dialect, aliases: Mapping[str, str]) -> tuple[RepoId, ...]:
    """Likely names of a repo in another kind of catalog, the likeliest first; models only.

    `aliases` are names at a Hub -> names at a kind that has its own. Without one that fits, the same name is tried; a
    name without an organisation has no counterpart then.
    """
    if repo.type is not RepoType.MODEL:
        return ()
    name = repo.name
    found: tuple[str, ...] = ()
    if elsewhere.has_own_names and not kind.has_own_names:
        found = (aliases[name],) if name in aliases else ()
    elif kind.has_own_names and not elsewhere.has_own_names:
        found = tuple(ours for ours, theirs in aliases.items() if theirs == name)
    found = found or ((name,) if "/" in name else ())
    return tuple(RepoId(repo.type, there) for there in found)
