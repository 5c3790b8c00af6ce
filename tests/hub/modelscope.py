"""The ModelScope face: the same repositories by ModelScope's API.

What differs from the Hub: the default branch is `master`, commits are others, a recursive listing is silently cut
at 3000 entries, `recursive` in lower case is ignored, an error may be a `Code` in an HTTP 200, and a small file may
ignore Range. modelscope-hub 0.5 lists with `/repo/files` (datasets: `/repo/tree`, paged) and downloads with
`/repo?Revision=&FilePath=`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.hub.access import Refused, Shelf
from tests.hub.cdn import Cdn
from tests.hub.content import sha256_of
from tests.hub.repos import Commit, Repo, RepoFile
from tests.hub.searches import modelscope_search
from tests.hub.wire import Reply, Request, file_reply, json_reply, redirect

LISTING_CAP = 3000
_TYPES = {"models": "model", "datasets": "dataset"}


@dataclass
class ModelScope:
    """Handler of one face. `aliases` maps a ModelScope name to the name that the shelf knows."""

    shelf: Shelf
    cdn: tuple[Cdn, Callable[[], str]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    listing_cap: int = LISTING_CAP
    errors_in_200: bool = True
    small_files_ignore_range: bool = True

    def __call__(self, request: Request) -> Reply:
        parts, query = request.segments, request.query
        try:
            match parts:
                case ["openapi", "v1", "models"]:
                    return modelscope_search(self.shelf, request, self.aliases)
                case ["api", "v1", ("models" | "datasets") as plural, owner, name]:
                    return self._info(request, plural, f"{owner}/{name}")
                case ["api", "v1", ("models" | "datasets") as plural, owner, name, "revisions"]:
                    return self._revisions(request, plural, f"{owner}/{name}")
                case ["api", "v1", ("models" | "datasets") as plural, owner, name, "commits"]:
                    return self._commits(request, plural, f"{owner}/{name}")
                case ["api", "v1", ("models" | "datasets") as plural, owner, name, "repo", "files" | "tree"]:
                    return self._files(request, plural, f"{owner}/{name}", paged=parts[-1] == "tree")
                case ["api", "v1", "datasets", number, "repo", "tree"]:
                    return self._files(request, "datasets", self._name_of(number), paged=True)
                case ["api", "v1", ("models" | "datasets") as plural, owner, name, "repo"]:
                    path = query.get("FilePath", "")
                    return self._file(request, plural, f"{owner}/{name}", query.get("Revision", "master"), path)
                case [("models" | "datasets") as plural, owner, name, "resolve", revision, *path]:
                    return self._file(request, plural, f"{owner}/{name}", revision, "/".join(path))
                case _:
                    return _failure(404, 10010205001, "page not found")
        except Refused as refused:
            return refused.reply

    def _open(self, request: Request, plural: str, name: str, revision: str = "master") -> tuple[Repo, Commit]:
        token = request.token
        if token is not None and token not in self.shelf.tokens:
            raise Refused(_failure(401, 10010103004, "Token is invalid"))
        repo = self.shelf.repos.get((_TYPES[plural], self.aliases.get(name, name)))
        allowed = token is not None and repo is not None and repo.name in self.shelf.tokens[token]
        if repo is None or ((repo.private or repo.gated) and not allowed):
            raise Refused(self._absent(10010205001, f"Repo {name} not exists or private"))
        commit = repo.resolve("main" if revision == "master" else revision) or _by_foreign_id(repo, revision)
        if commit is None:
            raise Refused(self._absent(10010205002, f"Revision {revision} not found"))
        return repo, commit

    def _absent(self, code: int, message: str) -> Reply:
        return _failure(200 if self.errors_in_200 else 404, code, message)

    def _info(self, request: Request, plural: str, name: str) -> Reply:
        repo, commit = self._open(request, plural, name)
        owner, _, short = name.partition("/")
        number = self._number_of(repo)
        data = {"Id": number, "Type": 1, "Path": owner, "Name": short, "Revision": "master", "Private": repo.private}
        return _success(data | {"StorageSize": commit.size, "Visibility": 1 if repo.private else 5})

    def _number_of(self, repo: Repo) -> int:
        """The number by which modelscope up to 1.37 asks for the listing of a dataset."""
        return 1 + list(self.shelf.repos.values()).index(repo)

    def _name_of(self, number: str) -> str:
        repos = list(self.shelf.repos.values())
        if not (number.isdecimal() and 0 < int(number) <= len(repos)):
            raise Refused(self._absent(10010205001, f"Repo {number} not exists or private"))
        return repos[int(number) - 1].name

    def _revisions(self, request: Request, plural: str, name: str) -> Reply:
        repo, _ = self._open(request, plural, name)
        found: dict[str, list[dict[str, Any]]] = {"Branches": [], "Tags": []}
        for ref, oid in repo.refs.items():
            kind, short = ref.split("/", 2)[1:] if ref.count("/") > 1 else ("", ref)
            if kind in ("heads", "tags"):
                entry = {"Revision": "master" if short == "main" else short, "CreatedAt": 1_700_000_000}
                found["Branches" if kind == "heads" else "Tags"].append(entry | {"CommitId": foreign_id(oid)})
        return _success({"RevisionMap": found})

    def _commits(self, request: Request, plural: str, name: str) -> Reply:
        """The history of a ref, of which the newest entry is told (HubApi.list_repo_commits of the modelscope SDK)."""
        _, commit = self._open(request, plural, name, request.query.get("Ref", "master"))
        return _success({"Commit": [{"Id": foreign_id(commit.oid), "Title": commit.title}], "TotalCount": 1})

    def _files(self, request: Request, plural: str, name: str, *, paged: bool) -> Reply:
        query = request.query
        _, commit = self._open(request, plural, name, query.get("Revision", "master"))
        root = query.get("Root", "").strip("/")
        if root and root not in commit.trees:
            return self._absent(10010205003, f"Root {root} not found")
        recursive = query.get("Recursive", "").lower() == "true"
        prefix = root + "/" if root else ""
        folders = [path for path in commit.trees if path and path != root and path.startswith(prefix)]
        entries = [_tree(commit, path) for path in folders] + [
            _blob(commit, file) for file in commit.below(root).values()
        ]
        if not recursive:
            entries = [entry for entry in entries if "/" not in entry["Path"][len(prefix) :]]
        entries.sort(key=lambda entry: entry["Path"])
        if paged:
            page, size = int(query.get("PageNumber", 1)), int(query.get("PageSize", 100))
            shown = entries[(page - 1) * size : page * size]
            return _success({"Files": shown, "TotalCount": len(entries)})
        return _success({"Files": entries[: self.listing_cap], "LatestCommitter": {}, "IsVisual": 0})

    def _file(self, request: Request, plural: str, name: str, revision: str, path: str) -> Reply:
        repo, commit = self._open(request, plural, name, revision)
        file = commit.files.get(path)
        if file is None:
            return _failure(404, 10010205004, f"File {path} not found")
        if file.sha256 is not None:
            signer, url = self.cdn
            reply = redirect(302, signer.sign(url(), repo.name, file))
        else:
            asked = request
            if self.small_files_ignore_range:
                asked = Request(request.method, request.target, {**request.headers, "range": ""})
            reply = file_reply(asked, file.content, hashlib.md5(file.oid.encode(), usedforsecurity=False).hexdigest())
        reply.file = path
        return reply


def foreign_id(commit: str) -> str:
    """The id that ModelScope has for a commit: 40 hex, and never the Hub's."""
    return hashlib.sha1(b"modelscope " + commit.encode(), usedforsecurity=False).hexdigest()


def _by_foreign_id(repo: Repo, revision: str) -> Commit | None:
    return next((commit for oid, commit in repo.commits.items() if foreign_id(oid) == revision), None)


def _blob(commit: Commit, file: RepoFile) -> dict[str, Any]:
    return {
        "Path": file.path,
        "Name": file.path.rpartition("/")[2],
        "Size": file.size,
        "Sha256": file.sha256 or sha256_of(file.content),
        "IsLFS": file.sha256 is not None,
        "Type": "blob",
        "Mode": "33188",
        "Revision": foreign_id(commit.oid),
        "CommittedDate": 1_700_000_000 + commit.number,
    }


def _tree(commit: Commit, path: str) -> dict[str, Any]:
    entry = {"Path": path, "Name": path.rpartition("/")[2], "Size": 0, "Sha256": "", "IsLFS": False}
    return entry | {"Type": "tree", "Revision": foreign_id(commit.oid)}


def _success(data: Any) -> Reply:
    return json_reply({"Code": 200, "Success": True, "Message": "success", "RequestId": "loopback", "Data": data})


def _failure(status: int, code: int, message: str) -> Reply:
    return json_reply({"Code": code, "Success": False, "Message": message, "RequestId": "loopback"}, status)
