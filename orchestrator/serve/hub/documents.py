"""The Hub's documents: what it says of a repo at a commit, made of our listing. No I/O.

`xetHash`, `X-Xet-Hash` and the xet-auth link are left out on purpose: with them a client asks the Xet storage, which is
not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import parse_qs, quote, unquote, urlencode

from orchestrator.core.files import RepoFile, lfs_pointer, lfs_pointer_oid
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.lists.json_text import parse_json
from orchestrator.registry.own import ModelNames, NamedCommit
from orchestrator.serve.http.headers import of_content
from orchestrator.serve.http.printing import Print, encoded
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.hub.grammar import AboutRepo, FileBytes, ModelsPage, TreePage, TreeSize
from orchestrator.serve.stock.entries import below, entries, is_folder

PAGE = 1000
"""Entries of a page of a listing, as the Hub has it."""
MOST_PATHS = 10_000
"""Paths that one request may ask about."""
_NO_ID = "0" * 40
"""The git id of what a listing does not tell: of a folder, which may hold what was left out of the listing."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HubDocument:
    """A short answer. `then` is the page after this one, as path and query."""

    document: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    then: str | None = None

    def printed(self) -> Print:
        """The document as it goes out."""
        return Print(encoded(self.document), self.headers, self.then)


def about(asked: AboutRepo, model: ResolvedModel) -> HubDocument:
    """The repo and its files."""
    repo, tree = asked.ref.repo, model.tree
    moment = _moment(model)
    document: Json = {
        "_id": tree.commit[:24],
        "id": repo.name,
        "author": repo.name.rpartition("/")[0],
        "sha": tree.commit,
        "lastModified": moment,
        "createdAt": moment,
        "private": model.is_restricted,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [_sibling(file, blobs=asked.blobs) for file in tree.files],
        "usedStorage": tree.total_size,
    }
    if repo.type is RepoType.MODEL:
        document["modelId"] = repo.name
    return HubDocument(document, _of_commit(model))


def models(asked: ModelsPage, found: Sequence[RepoId]) -> HubDocument:
    """A page of the models of the registry."""
    author, search = asked.author.lower(), asked.search.lower()
    listed = [repo.name for repo in found if search in repo.name and author in ("", repo.name.partition("/")[0])]
    end = asked.start + min(max(asked.limit, 1), PAGE)
    then = None
    # A client that names a limit wants no more than that, and follows all pages.
    if end < len(listed) and asked.limit >= PAGE:
        query = {"author": author, "search": search, "limit": str(asked.limit), "cursor": str(end)}
        then = f"/api/models?{urlencode(query)}"
    page = [
        {"_id": "", "id": name, "modelId": name, "author": name.partition("/")[0], "private": True, "tags": []}
        for name in listed[asked.start : end]
    ]
    return HubDocument(page, then=then)


def refs(names: ModelNames) -> HubDocument:
    """The aliases of a model as branches, and its versions as tags."""
    branches = [_named(one, "heads") for one in names.branches]
    return HubDocument({"converts": [], "branches": branches, "tags": [_named(one, "tags") for one in names.tags]})


def newest_commit(model: ResolvedModel) -> HubDocument:
    """A history of one commit: a version knows none before it."""
    commit = {"id": model.commit, "title": "", "message": "", "authors": [], "date": _moment(model)}
    return HubDocument([commit], _of_commit(model))


def account(name: str, role: str) -> HubDocument:
    """The account of a token of ours."""
    access = {"type": "access_token", "accessToken": {"displayName": name, "role": role}}
    return HubDocument({"type": "user", "id": name, "name": name, "fullname": name, "orgs": [], "auth": access})


def no_harnesses() -> HubDocument:
    """An empty list, which clients keep for a day; refused, each of their processes asks again."""
    return HubDocument({"standardEnvVars": [], "harnesses": {}})


def tree_page(asked: TreePage, model: ResolvedModel) -> HubDocument:
    """One page of a listing; raises Refused for a folder that is not in it."""
    repo = asked.ref.repo
    found = entries(model.tree, asked.folder, recursive=asked.recursive)
    if asked.folder and not found.folders and not found.files:
        _no_entry(model, asked.folder)
    end = asked.start + PAGE
    listed: list[str | RepoFile] = [*found.folders, *found.files]
    then = None
    if end < len(listed):
        where = "/".join(quote(part, safe="") for part in ("tree", model.commit))
        folder = f"/{quote(asked.folder)}" if asked.folder else ""
        query = {"recursive": str(asked.recursive).lower(), "expand": "false", "cursor": str(end)}
        then = f"/api/{repo.type.plural}/{repo.name}/{where}{folder}?{urlencode(query)}"
    page = [_folder(one) if isinstance(one, str) else _entry(one) for one in listed[asked.start : end]]
    return HubDocument(page, _of_commit(model), then=then)


def tree_size(asked: TreeSize, model: ResolvedModel) -> HubDocument:
    """The bytes below a folder."""
    files = below(model.tree, asked.folder)
    if asked.folder and not files:
        _no_entry(model, asked.folder)
    return HubDocument({"path": asked.folder, "size": sum(file.size for file in files)}, _of_commit(model))


def paths_info(body: bytes, content_type: str, model: ResolvedModel) -> HubDocument:
    """The entries of the paths in the body, a form or JSON; what is not there is left out, as the Hub does it."""
    found: list[Json] = []
    for path in _asked_paths(body, content_type):
        folder = path.strip("/")
        if (file := model.tree.file(path)) is not None:
            found.append(_entry(file))
        elif folder and is_folder(model.tree, folder):
            found.append(_folder(folder))
    return HubDocument(found, _of_commit(model))


def find_file(asked: FileBytes, model: ResolvedModel) -> RepoFile:
    """The file that a path names in the commit's listing. Raises Refused."""
    return model.tree.file(asked.path) or _no_entry(model, asked.path)


def file_headers(file: RepoFile, model: ResolvedModel) -> dict[str, str]:
    """The headers of an answer with a file's bytes, or of a HEAD: all that huggingface_hub asks a file about."""
    headers = _of_commit(model) | of_content(file.path, file.blob_name)
    if file.is_lfs:
        headers |= {"X-Linked-ETag": f'"{file.blob_name}"', "X-Linked-Size": str(file.size)}
    return headers


def moved(raw_path: bytes, query_string: bytes, old: RepoId, new: str) -> str:
    """The path and query under which a renamed repo is asked for."""
    parts = raw_path.decode("ascii", "replace").strip("/").split("/")
    first = 2 if unquote(parts[0]) == "api" else 1 if unquote(parts[0]) == old.type.plural else 0
    width = 1 if unquote(parts[first]) == old.name else 2
    # One slash at the beginning: what follows two would be another server.
    path = "/" + "/".join((*parts[:first], new, *parts[first + width :]))
    return f"{path}?{query_string.decode('ascii', 'replace')}" if query_string else path


def _moment(model: ResolvedModel) -> str:
    return datetime.fromtimestamp(model.modified or 0, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _named(one: NamedCommit, kind: str) -> Json:
    return {"name": one.name, "ref": f"refs/{kind}/{one.name}", "targetCommit": one.commit}


def _of_commit(model: ResolvedModel) -> dict[str, str]:
    return {"X-Repo-Commit": model.commit}


def _no_entry(model: ResolvedModel, path: str) -> NoReturn:
    raise Refused(404, f"{path!r} does not exist at {model.commit}", "EntryNotFound", _of_commit(model))


def _folder(path: str) -> Json:
    return {"type": "directory", "oid": _NO_ID, "size": 0, "path": path}


def _entry(file: RepoFile) -> Json:
    entry: Json = {"type": "file", "oid": _git_oid(file), "size": file.size, "path": file.path}
    if file.is_lfs:
        entry["lfs"] = {"oid": file.digest.hex, "size": file.size, "pointerSize": _pointer_size(file)}
    return entry


def _sibling(file: RepoFile, *, blobs: bool) -> Json:
    if not blobs:
        return {"rfilename": file.path}
    entry: Json = {"rfilename": file.path, "size": file.size, "blobId": _git_oid(file)}
    if file.is_lfs:
        entry["lfs"] = {"sha256": file.digest.hex, "size": file.size, "pointerSize": _pointer_size(file)}
    return entry


def _git_oid(file: RepoFile) -> str:
    return file.git_oid or (lfs_pointer_oid(file.digest.hex, file.size) if file.is_lfs else _NO_ID)


def _pointer_size(file: RepoFile) -> int:
    return len(lfs_pointer(file.digest.hex, file.size))


def _asked_paths(body: bytes, content_type: str) -> list[str]:
    try:
        if "json" in content_type:
            value = parse_json(body)
            paths = value.get("paths", []) if isinstance(value, dict) else None
        else:
            paths = parse_qs(body.decode(), max_num_fields=MOST_PATHS + 10).get("paths", [])
    except ValueError:
        paths = None
    if isinstance(paths, str):
        paths = [paths]
    if not isinstance(paths, list) or len(paths) > MOST_PATHS or not all(isinstance(path, str) for path in paths):
        raise Refused(400, f"the body has no list of at most {MOST_PATHS} paths")
    return paths
