"""Records of listings: for offline runs, to list a commit only once, and to notice rollbacks.

`repos/<folder>/<commit>.json` is a commit's whole listing, and how far it was to be believed.
`repos/<folder>/refs.json` holds the commits that each revision stood for, in the order in which they were seen, each
with the root of that time and its date: `{"main": [["<40 hex>", "https://root", 1700000000.0], ...]}`.
`repos/<folder>/fleet.json` has the seal by which a member of a fleet said that the repo is open: `{"open": "<seal>"}`.
No listing rests on it. A file that cannot be read, or holds what it may not hold, counts as absent.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.files import Digest, RepoFile, RepoTree
from orchestrator.core.refs import Ref, RepoId, is_commit, parse_folder, parse_ref
from orchestrator.core.trust import Level, Seen, Trust, remembered
from orchestrator.disk.atomic import write_file
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import UNREADABLE, read_state, write_state
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import RECORD_BYTES, read_small

_MOST_SEEN = 200
_WORD = "fleet.json"


@dataclass(frozen=True, slots=True)
class Record:
    """A commit as it was listed: the whole tree, how far it was to be believed, whether it asked for a token.

    `pinned` is the ref at which its bytes lie, and `version` what its site calls it, as `ResolvedModel` has them.
    """

    tree: RepoTree
    trust: Trust
    is_restricted: bool = False
    pinned: Ref | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class _Access:
    """All that is known of who may have the blobs of a repo, when its folder had changed last. `seal` is that of a
    fleet's word that it is open."""

    changed: int
    is_listed: bool
    is_closed: bool
    seal: str | None


class Records:
    """The records of one cache."""

    def __init__(self, state_dir: Path) -> None:
        self._stage = state_dir / "stage"
        self._repos = state_dir / "repos"
        self._access: dict[str, _Access] = {}

    def load(self, repo: RepoId, commit: str) -> Record | None:
        """The record of a commit, checked as a listing from the network is; None when there is none, or a bad one."""
        if not is_commit(commit):
            return None
        return read_state(self._repos / repo.folder / f"{commit}.json", lambda data: _record(commit, data))

    def commits(self) -> tuple[tuple[RepoId, str], ...]:
        """The repos and commits that have a record, the latest written first."""
        found = []
        for path in self._repos.glob("*/*.json"):
            repo = parse_folder(path.parent.name)
            if repo is not None and is_commit(path.stem):
                with contextlib.suppress(OSError):
                    found.append((-path.stat().st_mtime_ns, repo, path.stem))
        found.sort(key=lambda item: (item[0], item[1].folder, item[2]))
        return tuple((repo, commit) for _, repo, commit in found)

    def revisions(self, repo: RepoId, commit: str) -> tuple[str, ...]:
        """The revisions that stood for a commit when they were last asked for."""
        return tuple(sorted(name for name, seen in self._seen(repo).items() if seen and seen[-1][0].commit == commit))

    def save(self, repo: RepoId, record: Record) -> None:
        """Keep a record, in one step. Nothing is written when it is there already."""
        if self.load(repo, record.tree.commit) == record:
            return
        data = {
            "trust": {
                "level": record.trust.level,
                "source": record.trust.source,
                "confirmed_by": list(record.trust.confirmed_by),
            },
            "is_restricted": record.is_restricted,
            **({"pinned": str(record.pinned)} if record.pinned else {}),
            **({"called": record.version} if record.version else {}),
            "files": [
                [file.path, file.size, str(file.digest), file.is_lfs, file.git_oid] for file in record.tree.files
            ],
        }
        target = self._folder(repo) / f"{record.tree.commit}.json"
        write_state(target, self._stage, data)
        self._access.pop(repo.folder, None)  # two changes may have one time

    def forget(self, repo: RepoId, commit: str) -> None:
        """Drop the record of a commit. Which commits were seen stays known, so that none can be passed off as new."""
        with on_disk("remove", self._repos):
            (self._repos / repo.folder / f"{commit}.json").unlink(missing_ok=True)

    def forget_all(self, repo: RepoId) -> None:
        """Drop the records of all commits of a repo, and what a fleet said of it."""
        self.keep_seal(repo, None)
        with on_disk("remove", self._repos):
            for path in (self._repos / repo.folder).glob("*.json"):
                if is_commit(path.stem):
                    path.unlink(missing_ok=True)

    def last_seen(self, repo: RepoId, revision: str, counts: Callable[[str], bool] = lambda _root: True) -> str | None:
        """The commit that `revision` stood for when it was last asked for, whatever the root; None when never.

        Of roots by whose address `counts` is not true, nothing is taken.
        """
        seen = [seen for seen, by in self._seen(repo).get(revision, ()) if counts(by)]
        return seen[-1].commit if seen else None

    def named(self, repo: RepoId, root: str) -> tuple[str, ...]:
        """The revisions that were asked for under the root at this address."""
        return tuple(sorted(name for name, seen in self._seen(repo).items() if any(by == root for _, by in seen)))

    def is_restricted(self, ref: Ref) -> bool:
        """True when a run before this one was told that the repo is closed. What nobody listed here counts as open."""
        commit = ref.commit or self.last_seen(ref.repo, ref.revision)
        record = self.load(ref.repo, commit) if commit else None
        return record is not None and record.is_restricted

    def is_open(self, folder: str) -> bool:
        """True when the repo of this folder was listed here, and never as a closed one. Reads all its records, once."""
        known = self._known(folder)
        return known is not None and known.is_listed and not known.is_closed

    def is_open_for(self, folder: str, is_seal: Callable[[str], bool]) -> bool:
        """The same for the members of a fleet, who also believe a seal of theirs (`is_seal`) where nobody here was told
        that the repo is closed."""
        known = self._known(folder)
        if known is None or known.is_closed:
            return False
        return known.is_listed or (known.seal is not None and is_seal(known.seal))

    def keep_seal(self, repo: RepoId, seal: str | None) -> None:
        """Keep the seal of a fleet's word that the repo is open, in the place of the one before; None takes it back."""
        target = self._repos / repo.folder / _WORD
        if seal is None:
            with on_disk("remove", target):
                target.unlink(missing_ok=True)
        elif read_state(target, _seal) != seal:
            write_state(self._folder(repo) / _WORD, self._stage, {"open": seal})
        self._access.pop(repo.folder, None)

    def _known(self, folder: str) -> _Access | None:
        path = self._repos / folder
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return None
        known = self._access.get(folder)
        if known is None or known.changed != changed:
            repo = parse_folder(folder)
            if repo is None:
                return None
            records = [self.load(repo, one.stem) for one in path.glob("*.json") if is_commit(one.stem)]
            is_closed = any(record is None or record.is_restricted for record in records)
            known = self._access[folder] = _Access(changed, bool(records), is_closed, read_state(path / _WORD, _seal))
        return known

    def history(self, repo: RepoId, revision: str, root: str) -> tuple[Seen, ...]:
        """The commits that `revision` stood for under the root at this address, the oldest first."""
        return tuple(seen for seen, by in self._seen(repo).get(revision, ()) if by == root)

    def saw(self, repo: RepoId, revision: str, now: Seen, root: str) -> None:
        """Remember that `revision` stands for `now`, which was accepted, even if it goes back."""
        known = self._seen(repo).get(revision)
        if known and (known[-1][0].commit, known[-1][1]) == (now.commit, root):
            return
        folder = self._folder(repo)
        with on_disk("lock", folder), state_lock(folder / "refs.lock"):
            everything = self._seen(repo)
            entries = everything.get(revision, [])
            history = remembered([seen for seen, by in entries if by == root], now)[-_MOST_SEEN:]
            everything[revision] = [entry for entry in entries if entry[1] != root] + [(seen, root) for seen in history]
            data = {
                name: [[seen.commit, by, seen.modified] for seen, by in entries] for name, entries in everything.items()
            }
            write_file(folder / "refs.json", json.dumps(data, sort_keys=True), self._stage, mode=0o600)

    def _seen(self, repo: RepoId) -> dict[str, list[tuple[Seen, str]]]:
        """Each revision's commits with the root of their time; those of the root that was asked last come last."""
        try:
            data = json.loads(read_small(self._repos / repo.folder / "refs.json", RECORD_BYTES))
            return {str(revision): _entries(entries) for revision, entries in data.items()}
        except UNREADABLE:
            return {}

    def _folder(self, repo: RepoId) -> Path:
        folder = self._repos / repo.folder
        with on_disk("create", folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def _record(commit: str, data: dict[str, Any]) -> Record:
    tree = RepoTree.checked(commit, _files(data["files"]))
    pinned = parse_ref(data["pinned"]) if "pinned" in data else None
    if pinned is not None and pinned.commit != commit:
        raise ValueError(f"{pinned} is not {commit}")
    version = str(data["called"]) if "called" in data else None
    return Record(tree, _trust(data["trust"]), bool(data["is_restricted"]), pinned, version)


def _seal(data: dict[str, Any]) -> str:
    if not isinstance(data["open"], str):
        raise TypeError("a seal is a text")
    return data["open"]


def _files(entries: list[Any]) -> Iterator[RepoFile]:
    """Consume the entries, so that a large listing is not in memory twice."""
    entries.reverse()
    while entries:
        yield _file(*entries.pop())


def _trust(data: dict[str, Any]) -> Trust:
    return Trust(Level(data["level"]).value, str(data["source"]), tuple(map(str, data.get("confirmed_by", ()))))


def _entries(data: object) -> list[tuple[Seen, str]]:
    """The history of one revision."""
    if not isinstance(data, list):
        raise TypeError("a history is a list")
    found = []
    for commit, root, modified in data:
        if not is_commit(commit) or not isinstance(modified, float | int | None):
            raise ValueError(f"{commit!r} is not a commit with its date")
        found.append((Seen(commit, modified), str(root)))
    return found


def _file(path: object, size: object, digest: object, is_lfs: object, git_oid: object) -> RepoFile:
    """An entry of a record. Raises TypeError where a part is not of its type."""
    if not (isinstance(path, str) and type(size) is int and isinstance(digest, str) and isinstance(is_lfs, bool)):
        raise TypeError(path)
    if not (git_oid is None or (isinstance(git_oid, str) and is_commit(git_oid))):
        raise TypeError(git_oid)
    parsed = Digest.parse(digest)
    return RepoFile(path, size, parsed, is_lfs, parsed.hex if git_oid == parsed.hex else git_oid)
