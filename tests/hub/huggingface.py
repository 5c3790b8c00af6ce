"""The Hugging Face face: the API, /resolve, /api/resolve-cache and git itself, answered from a shelf of repositories.

Left out on purpose: `xetHash`, `X-Xet-Hash` and the xet-auth Link. With them a client calls the xet token endpoint
instead of plain HTTP; without them it uses what is here.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from tests.hub.access import Refused, Shelf, refusal
from tests.hub.cdn import Cdn
from tests.hub.git import GitRepositories
from tests.hub.quota import Quota
from tests.hub.repos import Commit, Repo, RepoFile
from tests.hub.searches import hub_search
from tests.hub.wire import Reply, Request, file_reply, json_reply, redirect

_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space"}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_VERBS = {"revision", "tree", "paths-info", "treesize", "refs"}


@dataclass
class HuggingFace:
    """Handler of one face. `cdn` is (signer, function giving its base URL), or None to serve LFS bytes by itself.

    `link_base` gives the base of the absolute pagination links: the face's own URL, or another one's for a mirror that
    forwards what its origin said.
    """

    shelf: Shelf
    link_base: Callable[[], str]
    cdn: tuple[Cdn, Callable[[], str]] | None
    clock: Callable[[], float]
    page_size: int = 1000
    quota: Quota | None = None
    _listings: dict[tuple[str, str, bool], list[dict[str, Any]]] = field(default_factory=dict)
    _repositories: GitRepositories = field(default_factory=GitRepositories)

    def __call__(self, request: Request) -> Reply:
        extra: dict[str, str] = {}
        try:
            if self.quota is not None:
                extra = self.quota.charge(request)
            reply = self._route(request)
        except Refused as refused:
            reply = refused.reply
        reply.headers = reply.headers | extra
        return reply

    def _route(self, request: Request) -> Reply:
        if request.method not in ("GET", "HEAD", "POST"):
            raise refusal(405, "Method not allowed")
        parts = request.segments
        if parts == ["api", "whoami-v2"]:
            return self._whoami(request)
        if parts[:2] == ["api", "resolve-cache"]:
            return self._resolve_cache(request, parts)
        if len(parts) == 2 and parts[0] == "api" and parts[1] in _TYPES:
            self.shelf.check_token(request)
            return hub_search(self.shelf, request, _TYPES[parts[1]], self.link_base())
        if len(parts) > 2 and parts[0] == "api" and parts[1] in _TYPES:
            return self._api(request, parts)
        if "resolve" in parts[1:4]:
            return self._resolve(request, parts)
        if parts[-1] == "git-upload-pack" or parts[-2:] == ["info", "refs"]:
            return self._git(request, parts)
        raise refusal(404, "Sorry, we can't find the page you are looking for.")

    def _whoami(self, request: Request) -> Reply:
        token = self.shelf.check_token(request)
        if token is None:
            raise refusal(401, "Invalid username or password.")
        access = {"type": "access_token", "accessToken": {"displayName": "loopback", "role": "read"}}
        return json_reply({"type": "user", "id": "1", "name": "loopback-user", "orgs": [], "auth": access})

    # -- /api/{type}s/{id}[/verb[/rev[/path]]]

    def _api(self, request: Request, parts: list[str]) -> Reply:
        repo_type, plural = _TYPES[parts[1]], parts[1]
        width = 1 if len(parts) > 3 and parts[3] in _VERBS else min(2, len(parts) - 2)
        name, verb = "/".join(parts[2 : 2 + width]), parts[2 + width : 3 + width]
        rest = parts[3 + width :]
        if (present := self.shelf.renamed(repo_type, name)) is not None:
            return _moved(request, f"/api/{plural}/{name}", f"/api/{plural}/{present}")
        repo = self.shelf.open(request, repo_type, name, for_files=False)
        match verb:
            case [] | ["revision"]:
                return json_reply(self._info(repo, _commit(repo, rest), blobs=request.flag("blobs")))
            case ["refs"]:
                return json_reply(_refs(repo, pulls=request.flag("include_prs")))
            case ["tree"]:
                return self._tree(request, repo, _commit(repo, rest), "/".join(rest[1:]).strip("/"))
            case ["treesize"]:
                commit, folder = _commit(repo, rest), "/".join(rest[1:]).strip("/")
                return json_reply({"path": folder, "size": sum(file.size for file in commit.below(folder).values())})
            case ["paths-info"] if request.method == "POST":
                return self._paths_info(request, _commit(repo, rest))
            case _:
                raise refusal(404, "Not found")

    def _info(self, repo: Repo, commit: Commit, *, blobs: bool) -> dict[str, Any]:
        moment = datetime.fromtimestamp(1_700_000_000 + commit.number, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        info = {
            "_id": commit.oid[:24],
            "id": repo.name,
            "author": repo.name.rpartition("/")[0],
            "sha": commit.oid,
            "lastModified": moment,
            "createdAt": moment,
            "private": repo.private,
            "gated": repo.gated,
            "disabled": False,
            "downloads": repo.downloads,
            "likes": repo.likes,
            "tags": [],
            "siblings": [_sibling(file, blobs=blobs) for file in commit.files.values()],
            "usedStorage": commit.size,
        }
        return info | ({"modelId": repo.name} if repo.repo_type == "model" else {})

    def _tree(self, request: Request, repo: Repo, commit: Commit, folder: str) -> Reply:
        headers = {"X-Repo-Commit": commit.oid}
        if folder and folder not in commit.trees:
            raise refusal(404, f"{folder} does not exist on {commit.oid}", "EntryNotFound", X_Repo_Commit=commit.oid)
        recursive, expand = request.flag("recursive"), request.flag("expand")
        key = (commit.oid, folder, recursive)
        if key not in self._listings:
            self._listings[key] = _listing(commit, folder, recursive=recursive)
        entries, size = self._listings[key], min(self.page_size, 50) if expand else self.page_size
        offset = _read_cursor(request.query.get("cursor"), commit.oid)
        page = entries[offset : offset + size]
        if expand:
            page = [entry | _expansion(commit, entry["type"]) for entry in page]
        if offset + size < len(entries):
            query = request.query | {"cursor": _cursor(commit.oid, offset + size)}
            headers["Link"] = f'<{self.link_base()}{request.raw_path}?{urlencode(query)}>; rel="next"'
        return json_reply(page, headers=headers)

    def _paths_info(self, request: Request, commit: Commit) -> Reply:
        if "json" in request.headers.get("content-type", ""):
            asked = json.loads(request.body)
            paths, expand = asked.get("paths", []), bool(asked.get("expand"))
        else:
            form = parse_qs(request.body.decode())
            paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() in ("true", "1")
        found = []
        for path in paths:
            if path in commit.files:
                found.append(_entry(commit.files[path]))
            elif path.strip("/") in commit.trees and path.strip("/"):
                found.append(_folder(commit, path.strip("/")))
        return json_reply([entry | (_expansion(commit, entry["type"]) if expand else {}) for entry in found])

    # -- /[datasets/|spaces/]{id}[.git]/(info/refs|git-upload-pack)

    def _git(self, request: Request, parts: list[str]) -> Reply:
        repo_type, first = (_TYPES[parts[0]], 1) if parts[0] in _TYPES else ("model", 0)
        is_refs = parts[-1] == "refs"
        name = "/".join(parts[first : -2 if is_refs else -1]).removesuffix(".git")
        if (present := self.shelf.renamed(repo_type, name)) is not None:
            return _moved(request, f"/{name}", f"/{present}")
        repo = self.shelf.open(request, repo_type, name, for_files=True)
        return self._repositories.refs(repo, request) if is_refs else self._repositories.pack(repo, request)

    # -- /[datasets/|spaces/]{id}/resolve/{rev}/{path}

    def _resolve(self, request: Request, parts: list[str]) -> Reply:
        repo_type = _TYPES.get(parts[0], "model")
        first = 1 if parts[0] in _TYPES else 0
        at = parts.index("resolve", first + 1)
        name, rest = "/".join(parts[first:at]), parts[at + 1 :]
        prefix = "" if repo_type == "model" else parts[0] + "/"
        if (present := self.shelf.renamed(repo_type, name)) is not None:
            return _moved(request, f"/{prefix}{name}", f"/{prefix}{present}")
        width = 3 if rest[:1] == ["refs"] else 1
        revision, path = "/".join(rest[:width]), "/".join(rest[width:])
        try:
            repo = self.shelf.open(request, repo_type, name, for_files=True)
            commit = _commit(repo, [revision])
            file = _file(commit, path)
        except Refused as refused:
            refused.reply.file = path
            raise
        reply = self._give(request, repo, commit, file, f"/{prefix}{name}/resolve/{commit.oid}")
        reply.file = path
        return reply

    def _give(self, request: Request, repo: Repo, commit: Commit, file: RepoFile, base: str) -> Reply:
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes", "ETag": f'"{file.etag}"'}
        disposition = f"inline; filename*=UTF-8''{quote(file.path.rpartition('/')[2])}"
        if file.sha256 is None:
            location = f"/api/resolve-cache/{repo.repo_type}s/{repo.name}/{commit.oid}/{quote(file.path, safe='')}"
            query = urlencode({f"{base}/{quote(file.path)}": "", "etag": f'"{file.oid}"'})
            return redirect(307, f"{location}?{query}", headers | {"Content-Disposition": disposition})
        headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.sha256}"'}
        if self.cdn is not None:
            signer, url = self.cdn
            return redirect(302, signer.sign(url(), repo.name, file), headers)
        reply = file_reply(request, file.content, file.etag, headers)
        reply.pointer = file.pointer
        return reply

    def _resolve_cache(self, request: Request, parts: list[str]) -> Reply:
        """Where a small file really comes from.

        Older releases of huggingface_hub (0.36 to 1.22 at least) leave out the query of the redirect, and wget2 sends
        the slashes of the path bare.
        """
        at = next((at for at in (4, 5) if parts[at:] and _COMMIT.fullmatch(parts[at])), None)
        if at is None or len(parts) < at + 2 or parts[2] not in _TYPES:
            raise refusal(404, "Not found")
        name, oid, path = "/".join(parts[3:at]), parts[at], "/".join(parts[at + 1 :])
        repo = self.shelf.open(request, _TYPES[parts[2]], name, for_files=True)
        commit = _commit(repo, [oid])
        file = _file(commit, path)
        reply = file_reply(request, file.content, file.etag, {"X-Repo-Commit": commit.oid})
        reply.file = path
        return reply


def _moved(request: Request, old: str, new: str) -> Reply:
    return redirect(307, request.target.replace(quote(old, safe="/"), quote(new, safe="/"), 1))


def _commit(repo: Repo, rest: list[str]) -> Commit:
    revision = rest[0] if rest else "main"
    commit = repo.resolve(revision)
    if commit is None:
        raise refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def _file(commit: Commit, path: str) -> RepoFile:
    if path not in commit.files:
        raise refusal(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.oid)
    return commit.files[path]


def _sibling(file: RepoFile, *, blobs: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        entry |= {"blobId": file.oid, "size": file.size}
        if file.sha256:
            entry["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return entry


def _entry(file: RepoFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": file.path}
    if file.sha256:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return entry


def _folder(commit: Commit, path: str) -> dict[str, Any]:
    return {"type": "directory", "oid": commit.trees[path], "size": 0, "path": path}


def _listing(commit: Commit, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    prefix = folder + "/" if folder else ""
    inside = [path for path in commit.trees if path and path != folder and path.startswith(prefix)]
    entries = [_folder(commit, path) for path in inside] + [_entry(file) for file in commit.below(folder).values()]
    if not recursive:
        entries = [entry for entry in entries if "/" not in entry["path"][len(prefix) :]]
    return sorted(entries, key=lambda entry: (entry["type"] == "file", entry["path"]))


def _expansion(commit: Commit, kind: str) -> dict[str, Any]:
    moment = datetime.fromtimestamp(1_700_000_000 + commit.number, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    more: dict[str, Any] = {"lastCommit": {"id": commit.oid, "title": commit.title, "date": moment}}
    if kind == "file":
        more["securityFileStatus"] = {"status": "safe", "avScan": {"virusFound": False}, "pickleImportScan": None}
    return more


def _refs(repo: Repo, *, pulls: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"branches": [], "converts": [], "tags": []} | ({"pullRequests": []} if pulls else {})
    for ref, oid in repo.refs.items():
        kind = {"heads": "branches", "tags": "tags", "pr": "pullRequests", "convert": "converts"}[ref.split("/")[1]]
        if kind in found:
            name = ref if kind == "pullRequests" else ref.split("/", 2)[2]
            found[kind].append({"name": name, "ref": ref, "targetCommit": oid})
    return found


def _cursor(commit: str, offset: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([commit, offset]).encode()).decode()


def _read_cursor(cursor: str | None, commit: str) -> int:
    if cursor is None:
        return 0
    try:
        whose, offset = json.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        raise refusal(400, "Invalid cursor") from None
    if whose != commit:
        raise refusal(400, "Invalid cursor")
    return int(offset)
