"""What the trust root said, kept for offline runs and to list a commit only once.

`repos/<folder>/<commit>.json` is a commit's whole listing; `repos/<folder>/refs.json` the last commit seen of each
revision. A file that cannot be read, or holds what a listing may not hold, counts as absent.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.files import Digest, RepoFile, RepoTree
from orchestrator.core.plan import Trust
from orchestrator.core.refs import RepoId, is_commit
from orchestrator.errors import GlmAriaError
from orchestrator.store.locks import state_lock
from orchestrator.store.oserrors import on_disk
from orchestrator.store.writing import write_file

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Record:
    """A commit as it was listed: the whole tree, how far it was to be believed, whether it asked for a token."""

    tree: RepoTree
    trust: Trust
    is_restricted: bool = False


class Records:
    """The records of one cache."""

    def __init__(self, state_dir: Path) -> None:
        self._stage = state_dir / "stage"
        self._repos = state_dir / "repos"

    def load(self, repo: RepoId, commit: str) -> Record | None:
        """The record of a commit, checked as a listing from the network is; None when there is none, or a bad one."""
        if not is_commit(commit):
            return None
        try:
            data = json.loads((self._repos / repo.folder / f"{commit}.json").read_bytes())
            if data["version"] != _VERSION:
                return None
            files = (
                RepoFile(path, int(size), Digest.parse(digest), bool(is_lfs), git_oid)
                for path, size, digest, is_lfs, git_oid in data["files"]
            )
            trust = Trust(str(data["trust"]["level"]), str(data["trust"]["source"]))
            return Record(RepoTree.checked(commit, files), trust, bool(data["is_restricted"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, GlmAriaError):
            return None

    def save(self, repo: RepoId, record: Record) -> None:
        """Keep a record, in one step. Nothing is written when it is there already."""
        if self.load(repo, record.tree.commit) == record:
            return
        data = {
            "version": _VERSION,
            "trust": {"level": record.trust.level, "source": record.trust.source},
            "is_restricted": record.is_restricted,
            "files": [
                [file.path, file.size, str(file.digest), file.is_lfs, file.git_oid] for file in record.tree.files
            ],
        }
        target = self._folder(repo) / f"{record.tree.commit}.json"
        write_file(target, json.dumps(data, separators=(",", ":")), self._stage, mode=0o600)

    def forget(self, repo: RepoId, commit: str) -> None:
        """Drop the record of a commit, and of the revisions that stood for it. Fine when there is none."""
        folder = self._repos / repo.folder
        if not folder.is_dir():
            return
        with on_disk("remove", folder), state_lock(folder / "refs.lock"):
            (folder / f"{commit}.json").unlink(missing_ok=True)
            seen = self._seen(repo)
            left = {revision: named for revision, named in seen.items() if named != commit}
            if left != seen:
                write_file(folder / "refs.json", json.dumps(left, sort_keys=True), self._stage, mode=0o600)

    def forget_all(self, repo: RepoId) -> None:
        """Drop all records of a repo."""
        shutil.rmtree(self._repos / repo.folder, ignore_errors=True)

    def last_seen(self, repo: RepoId, revision: str) -> str | None:
        """The commit that `revision` stood for when it was last asked for; None when never."""
        commit = self._seen(repo).get(revision)
        return commit if commit is not None and is_commit(commit) else None

    def saw(self, repo: RepoId, revision: str, commit: str) -> None:
        """Remember that `revision` stands for `commit`."""
        if self._seen(repo).get(revision) == commit:
            return
        folder = self._folder(repo)
        with on_disk("lock", folder), state_lock(folder / "refs.lock"):
            text = json.dumps(self._seen(repo) | {revision: commit}, sort_keys=True)
            write_file(folder / "refs.json", text, self._stage, mode=0o600)

    def _seen(self, repo: RepoId) -> dict[str, str]:
        try:
            data = json.loads((self._repos / repo.folder / "refs.json").read_bytes())
            return {str(revision): str(commit) for revision, commit in data.items()}
        except (OSError, ValueError, AttributeError, RecursionError):
            return {}

    def _folder(self, repo: RepoId) -> Path:
        folder = self._repos / repo.folder
        with on_disk("create", folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        return folder
