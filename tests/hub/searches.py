"""Searches of both faces, in the shape that huggingface_hub 2.4 (`list_models`) and modelscope-hub 0.5 read.

The Hub gives the fields that `expand` names, and a few without it; of models it refuses `usedStorage`, `baseModels` and
`childrenModelCount` (huggingface_hub pull request 3182). ModelScope's OpenAPI compares the beginning of names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

from tests.hub.access import Shelf, refusal
from tests.hub.repos import Commit, Repo
from tests.hub.wire import Reply, Request, json_reply

_PAGE, _LARGEST_PAGE = 20, 1000
_SORTS = {"downloads": "downloads", "likes": "likes", "lastModified": "lastModified", "createdAt": "lastModified"}
_ALWAYS = ("_id", "id")
_BRIEF = ("likes", "private", "downloads", "tags", "createdAt")
_MODELSCOPE_PAGE, _MODELSCOPE_DEPTH = 50, 3000
_HIDDEN = {"usedStorage", "baseModels", "childrenModelCount"}


def hub_search(shelf: Shelf, request: Request, repo_type: str, base: str) -> Reply:
    """`GET /api/{type}s?search=&author=&filter=&sort=&limit=&expand=…`."""
    asked = parse_qs(request.query_string, keep_blank_values=True)
    expand = [*asked.get("expand", ()), *asked.get("expand[]", ())]
    sort, limit = request.query.get("sort", "likes"), int(request.query.get("limit", _PAGE))
    words = request.query.get("search", "").lower().split()
    author, wants_gguf = request.query.get("author"), "gguf" in asked.get("filter", ())
    if repo_type == "space" and ("downloads" in (*expand, sort)):
        raise refusal(400, '"downloads" is not allowed')
    found = [
        _told(repo)
        for repo in _visible(shelf, request, repo_type)
        if all(word in repo.name.lower() for word in words)
        and author in (None, repo.name.partition("/")[0])
        and (not wants_gguf or any(path.endswith(".gguf") for path in _head(repo).files))
    ]
    if sort not in _SORTS:
        raise refusal(400, f'"sort" must not be {sort}')
    found.sort(key=lambda entry: entry[_SORTS[sort]], reverse=True)
    wrong = [name for name in expand if name not in _FIELDS or (repo_type == "model" and name in _HIDDEN)]
    if wrong:
        raise refusal(400, f'"expand" must be one of [{", ".join(sorted(_FIELDS))}], and not {wrong[0]}')
    brief = (*_BRIEF, "modelId", "pipeline_tag") if repo_type == "model" else _BRIEF
    keys = {*_ALWAYS, *(expand or brief)}
    begin, size = int(request.query.get("cursor", 0)), min(limit, _LARGEST_PAGE)
    page = [{key: value for key, value in entry.items() if key in keys} for entry in found[begin : begin + size]]
    headers = {}
    if begin + size < len(found):
        more = [(name, value) for name, values in asked.items() for value in values if name != "cursor"]
        query = urlencode([*more, ("cursor", begin + size)])
        headers["Link"] = f'<{base}{request.raw_path}?{query}>; rel="next"'
    return json_reply(page, headers=headers)


def modelscope_search(shelf: Shelf, request: Request, aliases: Mapping[str, str]) -> Reply:
    """`GET /openapi/v1/models?search=&owner=&sort=&page_number=&page_size=&filter.library=`."""
    query = request.query
    own = {known: alias for alias, known in aliases.items()}
    number, size = int(query.get("page_number", 1)), int(query.get("page_size", 10))
    if size > _MODELSCOPE_PAGE or number * size > _MODELSCOPE_DEPTH:
        return json_reply({"success": False, "code": "InvalidParameter", "message": "page_size"}, 400)
    found: list[dict[str, Any]] = []
    for repo in _visible(shelf, request, "model"):
        name = own.get(repo.name, repo.name)
        owner, _, short = name.partition("/")
        if query.get("owner", owner) != owner or not short.lower().startswith(query.get("search", "").lower()):
            continue
        if query.get("filter.library") == "gguf" and not any(path.endswith(".gguf") for path in _head(repo).files):
            continue
        moment = _moment(repo).replace(".000Z", "Z")
        entry = {"id": name, "display_name": short, "description": "", "downloads": repo.downloads, "license": ""}
        entry |= {"likes": repo.likes, "created_at": moment, "last_modified": moment, "tags": []}
        entry |= {"tasks": [repo.task] if repo.task else [], "file_size": _head(repo).size, "private": repo.private}
        found.append(entry | {"gated": bool(repo.gated), "login_required": False})
    found.sort(key=lambda entry: entry[query.get("sort", "downloads")], reverse=True)
    data = {"models": found[(number - 1) * size : number * size], "total_count": len(found)}
    return json_reply(
        {"success": True, "request_id": "loopback", "data": data | {"page_number": number, "page_size": size}}
    )


def _visible(shelf: Shelf, request: Request, repo_type: str) -> Iterator[Repo]:
    """The repositories that this request may know of: a gated one is shown to all."""
    opened = shelf.tokens.get(request.token or "", ())
    for repo in shelf.repos.values():
        if repo.repo_type == repo_type and not repo.disabled and (not repo.private or repo.name in opened):
            yield repo


def _head(repo: Repo) -> Commit:
    return repo.commits[repo.head]


def _moment(repo: Repo) -> str:
    return datetime.fromtimestamp(1_700_000_000 + _head(repo).number, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _told(repo: Repo) -> dict[str, Any]:
    commit = _head(repo)
    entry: dict[str, Any] = {
        "_id": commit.oid[:24],
        "id": repo.name,
        "modelId": repo.name,
        "author": repo.name.rpartition("/")[0],
        "createdAt": _moment(repo),
        "downloads": repo.downloads,
        "gated": repo.gated,
        "lastModified": _moment(repo),
        "likes": repo.likes,
        "private": repo.private,
        "sha": commit.oid,
        "siblings": [{"rfilename": path} for path in commit.files],
        "tags": [],
    }
    entry |= {"pipeline_tag": repo.task} if repo.task else {}
    parameters = _parameters(commit)
    return entry | (
        {"safetensors": {"parameters": parameters, "total": sum(parameters.values())}} if parameters else {}
    )


_FIELDS = {"author", "createdAt", "downloads", "gated", "lastModified", "likes", "pipeline_tag", "private", "sha"}
_FIELDS |= {"siblings", "tags", "safetensors", "gguf", *_HIDDEN}


def _parameters(commit: Commit) -> dict[str, int]:
    """The numbers of parameters by their type, as the headers of the safetensors files say."""
    found: dict[str, int] = {}
    for path, file in commit.files.items():
        if not path.endswith(".safetensors") or file.size < 8:
            continue
        length = int.from_bytes(file.content.read(0, 8), "little")
        if length > file.size - 8:
            continue
        try:
            header = json.loads(file.content.read(8, length))
        except ValueError:
            continue
        for name, tensor in header.items():
            if name != "__metadata__":
                number = 1
                for side in tensor["shape"]:
                    number *= side
                found[tensor["dtype"]] = found.get(tensor["dtype"], 0) + number
    return found
