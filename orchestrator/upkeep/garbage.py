"""Choice of a cache's garbage, with reasons: a decision over plain values. `sweep` carries it out.

Rules: a pinned revision stays. What somebody named goes, unless it is pinned. Else a revision stays while it is young,
and while a ref of its repo cannot be read. Only a repo that has refs can have detached revisions: where there is none,
the revisions were pulled by their commits. Bytes are freed with their last name only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from orchestrator.cache.census import CachedFile, CachedRepo, CachedSnapshot, Census
from orchestrator.cache.retention.pins import is_named
from orchestrator.core.refs import Target

GRACE = 900.0
"""Seconds for which what was written stays: somebody may be about to link it, or to write its ref."""


class Kind(StrEnum):
    """The kind of garbage; the values are those of the JSON schema."""

    REVISION = "revision"
    BLOB = "blob"
    PART = "part"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a clean-up. `older_than` is seconds since the last use, `keep_size` bytes; None asks for neither.

    `targets` go as a whole. With `litter`, blobs without a link, detached revisions and old parts go. `now` is unix
    seconds. With `only`, no other revisions go than these, by folder and commit, each with its last use; and blobs
    without a link, as a removal leaves them that was cut short.
    """

    now: float
    older_than: float | None = None
    keep_size: int | None = None
    targets: tuple[Target, ...] = ()
    litter: bool = False
    grace: float = GRACE
    only: Mapping[tuple[str, str], float] | None = None


@dataclass(frozen=True, slots=True)
class Garbage:
    """One thing that goes. `size` are its bytes, `frees` those that the disk gets back, in the order of the list.

    `blobs` are the names of the blobs that go with it; `touched` is that of the snapshot, so that a later change
    is seen.
    """

    kind: Kind
    folder: str
    path: Path
    reason: str
    size: int
    frees: int = 0
    commit: str | None = None
    refs: tuple[str, ...] = ()
    blobs: frozenset[str] = frozenset()
    touched: float = 0.0
    is_named: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A revision that the rules name and that stays nevertheless."""

    folder: str
    commit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The garbage, and what stays."""

    garbage: tuple[Garbage, ...]
    kept: tuple[Kept, ...] = ()


def last_use(repo: CachedRepo, snapshot: CachedSnapshot) -> float:
    """Unix seconds of the last read or write of any of its bytes; of an empty one, when it was made."""
    uses = [repo.blobs[name].found.last_use for name in repo.blobs_of(snapshot)]
    uses += [found.last_use for found in snapshot.files.values()]
    return max(uses, default=snapshot.touched)


def size_of(repo: CachedRepo, snapshot: CachedSnapshot) -> int:
    """Bytes of the distinct files that the revision needs."""
    sizes = {repo.blobs[name].inode: repo.blobs[name].found.st_size for name in repo.blobs_of(snapshot)}
    return sum((sizes | {found.inode: found.st_size for found in snapshot.files.values()}).values())


def choose(census: Census, pins: Iterable[Target], rules: Rules) -> Choice:
    """Decide, without a look at the disk."""
    return _Chooser(census, frozenset(pins), rules).choose()


class _Chooser:
    def __init__(self, census: Census, pins: frozenset[Target], rules: Rules) -> None:
        self._census = census
        self._pins = pins
        self._rules = rules
        self._targets = frozenset(rules.targets)
        self._repos = {repo.folder: repo for repo in census.repos}
        self._snapshots = {(repo.folder, each.commit): each for repo in census.repos for each in repo.snapshots}
        self._needs: dict[str, Counter[str]] = {}
        self._picked: dict[tuple[str, str], Garbage] = {}
        self._kept: list[Kept] = []

    def choose(self) -> Choice:
        for repo in self._census.repos:
            for snapshot in repo.snapshots:
                reason = self._reason(repo, snapshot)
                if reason:
                    self._pick(repo, snapshot, reason)
        if self._rules.keep_size is not None:
            self._shrink(self._rules.keep_size)
        garbage = [*self._picked.values(), *self._loose()]
        ledger = Ledger(names_in_store(self._census))
        return Choice(tuple(self._priced(item, ledger) for item in garbage), tuple(self._kept))

    def _reason(self, repo: CachedRepo, snapshot: CachedSnapshot) -> str | None:
        rules = self._rules
        if is_named(self._targets, repo, snapshot.commit):
            return "named"
        if rules.older_than is not None and rules.now - last_use(repo, snapshot) > rules.older_than:
            return f"not used for {int(rules.now - last_use(repo, snapshot)) // 86400} days"
        is_detached = repo.refs and not repo.has_bad_refs and not repo.refs_of(snapshot.commit)
        return "no ref names it" if rules.litter and is_detached else None

    def _pick(self, repo: CachedRepo, snapshot: CachedSnapshot, reason: str) -> bool:
        why_not = self._why_not(repo, snapshot, reason)
        if why_not:
            self._kept.append(Kept(repo.folder, snapshot.commit, why_not))
            return False
        if repo.folder not in self._needs:
            self._needs[repo.folder] = needs(repo)
        self._needs[repo.folder].subtract(repo.blobs_of(snapshot))
        self._picked[repo.folder, snapshot.commit] = Garbage(
            Kind.REVISION,
            repo.folder,
            snapshot.path,
            reason,
            size_of(repo, snapshot),
            commit=snapshot.commit,
            refs=repo.refs_of(snapshot.commit),
            touched=snapshot.touched,
            is_named=reason == "named",
        )
        return True

    def _why_not(self, repo: CachedRepo, snapshot: CachedSnapshot, reason: str) -> str | None:
        if is_named(self._pins, repo, snapshot.commit):
            return "pinned"
        if repo.has_bad_refs and not self._goes_whole(repo):
            return "a ref of the repo cannot be read"
        if reason != "named" and self._rules.now - snapshot.touched < self._rules.grace:
            return "young"
        return None

    def _goes_whole(self, repo: CachedRepo) -> bool:
        return Target(repo.repo, None) in self._targets

    def _shrink(self, keep: int) -> None:
        """Let go of revisions, the longest unused first, until what stays fits."""
        ledger = Ledger(names_in_store(self._census))
        total = sum(self._census.sizes().values())
        for item in [*self._picked.values(), *self._loose()]:
            total -= ledger.drop(self._files(item))
        only = self._rules.only
        left = [
            (last_use(repo, snapshot) if only is None else only[key], repo, snapshot)
            for repo in self._census.repos
            for snapshot in repo.snapshots
            if (key := (repo.folder, snapshot.commit)) not in self._picked and (only is None or key in only)
        ]
        for _, repo, snapshot in sorted(left, key=lambda item: (item[0], item[1].folder, item[2].commit)):
            if total <= keep:
                return
            if self._pick(repo, snapshot, "the longest unused of what is over the size to keep"):
                total -= ledger.drop(self._files(self._picked[repo.folder, snapshot.commit]))

    def _loose(self) -> Iterable[Garbage]:
        """Blobs that no snapshot links to."""
        for repo in self._census.repos:
            is_whole = self._goes_whole(repo)
            if not (self._rules.litter or is_whole or self._rules.only is not None):
                continue
            if is_whole and any((repo.folder, snapshot.commit) not in self._picked for snapshot in repo.snapshots):
                continue
            linked = repo.linked()
            for name, blob in repo.blobs.items():
                is_young = self._rules.now - blob.changed < self._rules.grace and not is_whole
                # What huggingface_hub is fetching, or was.
                is_part = name.endswith(".incomplete") and not is_whole
                if name not in linked and not is_young and not is_part:
                    yield Garbage(
                        Kind.BLOB, repo.folder, blob.path, "no snapshot links to it", blob.found.st_size,
                        blobs=frozenset([name]), is_named=is_whole,
                    )  # fmt: skip

    def _files(self, item: Garbage) -> list[CachedFile]:
        repo = self._repos[item.folder]
        if item.commit is None:
            return [repo.blobs[name] for name in item.blobs]
        snapshot, needed = self._snapshots[item.folder, item.commit], self._needs[item.folder]
        return _own_files(snapshot) + [repo.blobs[name] for name in repo.blobs_of(snapshot) if not needed[name]]

    def _priced(self, item: Garbage, ledger: Ledger) -> Garbage:
        files = self._files(item)
        blobs = frozenset(file.name for file in files if file.is_blob)
        return replace(item, frees=ledger.drop(files), blobs=blobs)


class Ledger:
    """The remaining names of each file, to tell when its bytes are freed.

    Names outside the cache count, too: a project folder may hold hard links. A file of the shared store lives as long
    as a blob of some repo points to it: `in_store` says how many do, by inode.
    """

    def __init__(self, in_store: Mapping[bytes, int]) -> None:
        self._in_store = in_store
        self._left: dict[bytes, int] = {}
        self._gone: set[Path] = set()

    def drop(self, files: Sequence[CachedFile]) -> int:
        """Take these names away, each once; returns the bytes that this frees."""
        freed = 0
        for file in files:
            if file.path in self._gone:
                continue
            self._gone.add(file.path)
            names = self._in_store.get(file.inode, file.found.st_nlink)
            left = self._left[file.inode] = self._left.get(file.inode, names) - 1
            freed += file.found.st_size if left == 0 else 0
        return freed


def names_in_store(census: Census) -> Counter[bytes]:
    """Count the blobs that point to each file of the shared store, by inode."""
    return Counter(blob.inode for repo in census.repos for blob in repo.blobs.values() if blob.is_shared)


def needs(repo: CachedRepo) -> Counter[str]:
    """Count the revisions that need each blob."""
    return Counter(name for snapshot in repo.snapshots for name in repo.blobs_of(snapshot))


def freed_by(census: Census) -> dict[tuple[str, str], int]:
    """The bytes that each revision holds alone, by folder and commit."""
    in_store = names_in_store(census)
    freed = {}
    for repo in census.repos:
        needed = needs(repo)
        for snapshot in repo.snapshots:
            alone = [repo.blobs[name] for name in repo.blobs_of(snapshot) if needed[name] == 1]
            freed[repo.folder, snapshot.commit] = Ledger(in_store).drop(_own_files(snapshot) + alone)
    return freed


def _own_files(snapshot: CachedSnapshot) -> list[CachedFile]:
    """List what lies in a revision itself, where there are no symlinks."""
    return [CachedFile(snapshot.path, path, found) for path, found in snapshot.files.items()]
