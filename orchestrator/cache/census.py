"""Census of the cache, by any program: repos, revisions, blobs, refs, shared bytes.

Read with stat and readlink only, but for the listing of a revision in which something lies that is no link. A folder
that vanishes meanwhile is left out: others work in the cache, too. So are strays (see `layout.is_junk`) and folders
that are closed to us.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH114, PTH115, PTH118, PTH119, PTH120, PTH208
from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cache.inventory import look
from orchestrator.cache.layout import CacheLayout, is_junk, is_no_ref
from orchestrator.cache.moved import refuse_foreign_link
from orchestrator.cache.trees import listed
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import RepoId, is_commit, parse_folder
from orchestrator.disk.file_stat import FileStat
from orchestrator.errors import CannotCreateError, GlmAriaError, UnsafeError
from orchestrator.platform.files import walk_paths
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import REF_BYTES, read_small_text

_HEX = re.compile(r"[0-9a-f]+")
_ALGORITHMS = {64: Algorithm.SHA256, 40: Algorithm.GIT_SHA1}
SHARED = "blobs"
"""huggingface_hub's store of blobs that several repos share: `blobs/<xx>/<xet hash>`, since 2.0."""
SHARED_MARKER = ".huggingface-shared-blobs"


def digest_of(name: str) -> Digest | None:
    """The digest that a blob of this name must have; None for a name that is no digest."""
    algorithm = _ALGORITHMS.get(len(name))
    return Digest(algorithm, name) if algorithm and _HEX.fullmatch(name) else None


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A file with bytes of a repo: an entry of `blobs/`, or what lies in a snapshot where there are no symlinks.

    `name` is its path in `folder`. For a symlink into the shared store `target` is where the bytes lie, and `linked`
    unix seconds of the last change of the link itself.
    """

    folder: Path
    name: str
    found: FileStat
    target: Path | None = None
    linked: float = 0.0

    @property
    def path(self) -> Path:
        """Its path."""
        return self.folder / self.name

    @property
    def real(self) -> Path:
        """The file with its bytes."""
        return self.target or self.path

    @property
    def changed(self) -> float:
        """Unix seconds of the last change of the entry itself: when it got its name."""
        return self.linked if self.target else self.found.st_ctime_ns / 1e9

    @property
    def is_blob(self) -> bool:
        """True for an entry of `blobs/`."""
        return self.folder.name == "blobs"

    @property
    def is_shared(self) -> bool:
        """True for a symlink into huggingface_hub's shared store."""
        return self.target is not None

    @property
    def repo_folder(self) -> str:
        """The name of its repo's folder in the cache."""
        return (self.folder if self.is_blob else self.folder.parent).parent.name

    @property
    def inode(self) -> bytes:
        """The identity that two names of the same bytes share."""
        return self.found.inode


@dataclass(frozen=True, slots=True)
class CachedSnapshot:
    """A revision. `links` maps the repo path to the name of its blob; `files` lie there themselves (no symlinks).

    `touched` is unix seconds of the last change of a name in it. `strays` lie in its folder and are no part of it.
    """

    commit: str
    path: Path
    links: Mapping[str, str]
    files: Mapping[str, FileStat]
    touched: float
    strays: Mapping[str, FileStat] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CachedRepo:
    """A repo folder. `refs` maps revision to commit; `has_bad_refs` when one of them, or the folder, is unreadable."""

    repo: RepoId
    path: Path
    blobs: Mapping[str, CachedFile]
    snapshots: tuple[CachedSnapshot, ...]
    refs: Mapping[str, str]
    has_bad_refs: bool
    broken: tuple[Path, ...] = ()
    """Entries of `blobs/` without bytes: symlinks to nothing, or out of the cache."""
    loose: tuple[Path, ...] = ()
    """Strays beside the revisions: in `blobs/`, `refs/` and `snapshots/`."""

    @property
    def strays(self) -> tuple[Path, ...]:
        """All that lies in the folder and is no part of the repo."""
        return (*self.loose, *(snapshot.path / name for snapshot in self.snapshots for name in snapshot.strays))

    @property
    def folder(self) -> str:
        """Its name in the cache."""
        return self.path.name

    def refs_of(self, commit: str) -> tuple[str, ...]:
        """The revisions that stand for a commit."""
        return tuple(sorted(revision for revision, named in self.refs.items() if named == commit))

    def blobs_of(self, snapshot: CachedSnapshot) -> frozenset[str]:
        """The names of the blobs that the snapshot needs.

        Where there are no symlinks, a file in it is a hard link or a copy of its blob, with its size and mtime.
        """
        names = {name for name in snapshot.links.values() if name in self.blobs}
        if snapshot.files:
            stamps = {(found.st_size, found.st_mtime_ns) for found in snapshot.files.values()}
            names |= {n for n, b in self.blobs.items() if (b.found.st_size, b.found.st_mtime_ns) in stamps}
        return frozenset(names)

    def linked(self) -> frozenset[str]:
        """The names of all blobs that some snapshot needs."""
        return frozenset().union(*(self.blobs_of(snapshot) for snapshot in self.snapshots))


@dataclass(frozen=True, slots=True)
class Census:
    """A whole cache. `shared` are the files of the shared store by path.

    `closed` are repo folders that are not read, with the reason: no right to it, or a symlink that is not followed.
    """

    repos: tuple[CachedRepo, ...]
    shared: Mapping[Path, FileStat]
    closed: Mapping[Path, GlmAriaError] = field(default_factory=dict)

    @property
    def strays(self) -> tuple[Path, ...]:
        """All that lies in a folder of a repo and is no part of it."""
        return tuple(path for repo in self.repos for path in repo.strays)

    def sizes(self) -> dict[bytes, int]:
        """The bytes of each distinct file of the cache, by inode."""
        found = {blob.inode: blob.found.st_size for repo in self.repos for blob in repo.blobs.values()}
        stats = [seen for repo in self.repos for snapshot in repo.snapshots for seen in snapshot.files.values()]
        return found | {seen.inode: seen.st_size for seen in (*stats, *self.shared.values())}


def take(layout: CacheLayout) -> Census:
    """Read the whole cache. One that does not exist is empty. Raises per `system.failures` if it is closed."""
    repos: list[CachedRepo] = []
    closed: dict[Path, GlmAriaError] = {}
    with on_disk("read", layout.cache_dir):
        folders = _folders(layout.cache_dir)
        shared = dict(_shared(layout.cache_dir))
    for folder in folders:
        try:
            repo = read_repo(layout, folder)
        except (CannotCreateError, UnsafeError) as error:
            closed[layout.cache_dir / folder] = error
        else:
            repos += [repo] if repo else []
    return Census(tuple(repos), shared, closed)


def read_repo(layout: CacheLayout, folder: str, blobs: Iterable[str] | None = None) -> CachedRepo | None:
    """Read one repo folder, and of its blobs only those with the names `blobs`, if these are given.

    None when there is none, or it is none of a repo. Raises CannotCreateError for one that is closed to us,
    UnsafeError for a symlink that is not followed (see `moved`), DiskIOError.
    """
    repo, path = parse_folder(folder), layout.cache_dir / folder
    if repo is None:
        return None
    refuse_foreign_link(path, layout.cache_dir)
    with on_disk("read", path):
        if not path.is_dir():
            return None
        names = _names(path / "blobs") if blobs is None else sorted(blobs)
        return _read_repo(layout, repo, path, names)


def _read_repo(layout: CacheLayout, repo: RepoId, path: Path, names: Sequence[str]) -> CachedRepo:
    blobs: dict[str, CachedFile] = {}
    broken, folder = [], path / "blobs"
    for name in names:
        blob = folder / name
        found, is_link = look(blob, layout.cache_dir), os.path.islink(blob)
        if found is not None:
            link = (Path(os.path.realpath(blob)), os.lstat(blob).st_ctime) if is_link else ()
            blobs[name] = CachedFile(folder, name, FileStat.of(found), *link)
        elif is_link:
            broken.append(blob)
    stamps = {(blob.found.st_size, blob.found.st_mtime_ns) for blob in blobs.values()}
    snapshots, loose = [], []
    for entry in _entries(path / "snapshots"):
        snapshot = _snapshot(entry, path, blobs, stamps) if entry.is_dir(follow_symlinks=False) else None
        if snapshot is not None and (is_commit(snapshot.commit) or snapshot.links):
            snapshots.append(snapshot)
        else:
            loose.append(Path(entry.path))
    linked = {name for snapshot in snapshots for name in snapshot.links.values()}
    # A mirror may name a blob as it likes, but a link to it shows that it is one.
    odd = [name for name in blobs if is_junk(name) and name not in linked]
    loose += [blobs.pop(name).path for name in odd]
    refs, has_bad_refs, strays = _refs(path / "refs")
    return CachedRepo(repo, path, blobs, tuple(snapshots), refs, has_bad_refs, tuple(broken), (*loose, *strays))


def _folders(cache_dir: Path) -> list[str]:
    # A link may be an administrator's, and is looked at.
    return [entry.name for entry in _entries(cache_dir) if entry.is_symlink() or entry.is_dir(follow_symlinks=False)]


def _names(folder: Path) -> list[str]:
    if folder.is_symlink():
        return []
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if folder.is_symlink():
        return []
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _snapshot(
    entry: os.DirEntry[str], repo: Path, blobs: Mapping[str, CachedFile], stamps: Set[tuple[int, int]]
) -> CachedSnapshot:
    """Read a revision. `stamps` are size and mtime of the repo's blobs, which a file that is one of them has, too."""
    links: dict[str, str] = {}
    others: dict[str, str] = {}
    files: dict[str, FileStat] = {}
    odd: dict[str, FileStat] = {}
    touched = 0.0
    for folder, folders, names in walk_paths(entry.path):
        for name in (*names, *folders):
            path = os.path.join(folder, name)
            try:
                seen = os.lstat(path)
                target = os.readlink(path) if stat.S_ISLNK(seen.st_mode) else ""
            except FileNotFoundError:
                continue
            touched = max(touched, seen.st_ctime)
            inside = os.path.relpath(path, entry.path)
            if os.path.basename(os.path.dirname(target)) == "blobs":
                blob = os.path.basename(target)
                links[inside] = blobs[blob].name if blob in blobs else blob  # one text for both, of a hundred bytes
            elif target:
                others[inside] = os.path.basename(target)
                odd[inside] = FileStat.of(seen)
            elif stat.S_ISREG(seen.st_mode):
                files[inside] = FileStat.of(seen)
                if (seen.st_size, seen.st_mtime_ns) not in stamps:
                    odd[inside] = files[inside]
    listing = listed(repo / "trees" / f"{entry.name}.json") if odd else {}
    strays = {path: seen for path, seen in odd.items() if (path not in listing if listing else is_junk(path))}
    return CachedSnapshot(
        entry.name,
        Path(entry.path),
        links | {path: target for path, target in others.items() if path not in strays},
        {path: seen for path, seen in files.items() if path not in strays},
        max(touched, entry.stat(follow_symlinks=False).st_ctime),
        strays,
    )


def _refs(folder: Path) -> tuple[dict[str, str], bool, list[Path]]:
    """The refs, whether one of them is unreadable, and what is none."""
    refs: dict[str, str] = {}
    strays: list[Path] = []
    is_bad = folder.is_symlink()

    def note(error: OSError) -> None:
        nonlocal is_bad
        is_bad = is_bad or not isinstance(error, FileNotFoundError)

    for at, folders, names in walk_paths(folder, onerror=note):
        odd = {name for name in (*folders, *names) if is_no_ref(name)}
        strays += [Path(at, name) for name in sorted(odd)]
        folders[:] = [name for name in folders if name not in odd]
        for name in names:
            if name in odd:
                continue
            path = Path(at, name)
            try:
                commit = read_small_text(path, REF_BYTES).strip()
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError):
                is_bad = True
                continue
            if is_commit(commit):
                refs[path.relative_to(folder).as_posix()] = commit
            else:
                is_bad = True
    return refs, is_bad, strays


def _shared(cache_dir: Path) -> Iterator[tuple[Path, FileStat]]:
    store = cache_dir / SHARED
    if store.is_symlink() or not (store / SHARED_MARKER).is_file():
        return
    for prefix in _entries(store):
        if not prefix.is_dir(follow_symlinks=False):
            continue
        for entry in _entries(Path(prefix.path)):
            if re.fullmatch(r"[0-9a-f]{64}", entry.name) and entry.is_file(follow_symlinks=False):
                yield Path(entry.path), FileStat.of(entry.stat(follow_symlinks=False))
