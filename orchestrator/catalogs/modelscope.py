"""ModelScope as a catalog.

Endpoints as ModelScope's own clients call them. The commit of a revision: `GET /api/v1/models/{id}/commits?Ref=&
PageNumber=1&PageSize=1`, whose `Data.Commit[0].Id` is the newest commit (modelscope 1.30, `HubApi.list_repo_commits`;
pull request 1483 of modelscope/modelscope). The per-file `Revision` of a listing is the commit that last changed that
file, so it cannot stand in for it. The listing: `GET …/repo/files?Revision=&Recursive=True[&Root=]`, silently cut at
3000 entries, `Files: null` for an unknown revision, and errors told by `Code` inside an HTTP 200; of a dataset
`GET …/repo/tree` with `PageNumber` and `PageSize` beside it (modelscope-hub 0.5.1, `_legacy_api.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import urlencode

from orchestrator.catalogs.interface import Revision
from orchestrator.catalogs.paging import Paging
from orchestrator.core.files import MAX_FILES, Algorithm, RepoFile, RepoTree
from orchestrator.core.refs import Ref, RepoId, RepoType, commit_hint, is_commit
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError, NotAllowedError, NotFoundError, ProtocolError
from orchestrator.net import shapes
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net

_KINDS = ("blob", "tree")
LISTING_CAP = 3_000
_PAGE = 200
"""Entries of a page of a dataset's listing, as the site's own client asks for them."""
# The family of codes for a repo, revision or folder that is not there: 10010205001 and its neighbours.
_ABSENT = "10010205"


class ModelScopeCatalog:
    """Implements `Catalog` for modelscope.cn and modelscope.ai: models and datasets."""

    def __init__(self, source: Source, net: Net, *, listing_cap: int = LISTING_CAP) -> None:
        self.source = source
        self._net = net
        self._cap = listing_cap

    def revision(self, ref: Ref) -> Revision:
        """See `Catalog.revision`."""
        site = self.source.name
        query = {"Ref": ref.revision, "PageNumber": 1, "PageSize": 1}
        data = shapes.mapping(self._get(ref.repo, ref.revision, "commits", query), site, "the history")
        history = shapes.sequence(data.get("Commit") or [], site, "the history")
        if not history:
            raise self._absent(ref.repo, ref.revision)
        commit = shapes.text(shapes.mapping(history[0], site, "the commit"), "Id", site, "the commit")
        if not is_commit(commit):
            raise shapes.odd(site, f"{commit[:80]!r} is not a commit")
        if ref.is_commit and commit != ref.revision:
            raise shapes.odd(site, f"asked for commit {ref.revision}, it answered with {commit}")
        # What answers without a token is open to all; what needed one is taken for closed.
        return Revision(commit, self._net.credentials.may_send(self.source.url), ref.repo.name)

    def tree(self, repo: RepoId, commit: str) -> RepoTree:
        """See `Catalog.tree`. One request, or one a folder where the listing is larger than the site tells at once."""
        site = self.source.name
        # A folder that is asked for by itself is listed again: what is the same twice counts once.
        files: set[RepoFile] = set()
        with blaming(site):
            found, others = shapes.files_of(self._entries(repo, commit), "Type", _KINDS, site)
            files.update(_file(entry, site) for entry in found)
            shapes.refuse_unknown(files, others, site)
            return RepoTree.checked(commit, files, tuple(dict.fromkeys(others)))

    def is_tag(self, ref: Ref) -> bool:
        """See `Catalog.is_tag`. `GET …/revisions` tells them below `RevisionMap` (modelscope-hub 0.5.1)."""
        try:
            tags = self._get(ref.repo, ref.revision, "revisions", {})["RevisionMap"]["Tags"] or ()
            return ref.revision in [tag["Revision"] for tag in tags]
        except (GlmAriaError, TypeError, KeyError):
            return False

    def _entries(self, repo: RepoId, commit: str) -> Iterator[dict[str, Any]]:
        """Every entry below the root."""
        if repo.type is RepoType.DATASET:
            return self._pages(repo, commit)
        return self._folders(repo, commit)

    def _pages(self, repo: RepoId, commit: str) -> Iterator[dict[str, Any]]:
        """The listing of a dataset, page by page."""
        paging = Paging(self.source.name, repo.url_path)
        for number in count(1):
            query = {"Revision": commit, "Recursive": "True", "PageNumber": number, "PageSize": _PAGE}
            listing = self._listed(repo, commit, "repo/tree", query)
            paging.took(len(listing))
            yield from listing
            if len(listing) < _PAGE:
                return

    def _folders(self, repo: RepoId, commit: str) -> Iterator[dict[str, Any]]:
        """The listing of a model. Folders whose listing is cut are listed flat, then each of theirs in turn."""
        site = self.source.name
        folders = [""]
        paging = Paging(site, repo.name)
        while folders:
            folder = folders.pop()
            listing = self._list(repo, commit, folder, recursive=True)
            paging.took(len(listing))
            if len(listing) >= self._cap:
                listing = self._list(repo, commit, folder, recursive=False)
                paging.took(len(listing))
                if len(listing) >= self._cap:
                    what = f"the folder {folder!r}" if folder else "the top folder"
                    raise self._cut(f"{what} of {repo.name}")
                folders += [
                    shapes.text(entry, "Path", site, "a folder") for entry in listing if entry.get("Type") == "tree"
                ]
            if len(folders) > MAX_FILES:
                raise shapes.odd(site, f"the listing of {repo.name} does not end")
            yield from listing

    def _list(self, repo: RepoId, commit: str, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
        site = self.source.name
        query = {"Revision": commit, "Recursive": str(recursive)} | ({"Root": folder} if folder else {})
        entries = self._listed(repo, commit, "repo/files", query)
        inside = f"{folder}/" if folder else ""
        for entry in entries:
            if not shapes.text(entry, "Path", site, "an entry of the listing").startswith(inside):
                raise shapes.odd(site, f"{entry['Path'][:200]!r} in the listing of {folder!r}")
        return entries

    def _listed(self, repo: RepoId, commit: str, endpoint: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        """The entries of an answer that is a listing."""
        site = self.source.name
        data = shapes.mapping(self._get(repo, commit, endpoint, query), site, "the listing")
        if data.get("Files") is None:
            raise self._absent(repo, commit)
        return [
            shapes.mapping(entry, site, "an entry of the listing")
            for entry in shapes.sequence(data["Files"], site, "the listing")
        ]

    def _get(self, repo: RepoId, revision: str, endpoint: str, query: dict[str, Any]) -> Any:
        """`Data` of an answer that says it is one."""
        url = f"{self.source.api_url(repo)}/{endpoint}?{urlencode(query)}"
        site = self.source.name
        with blaming(site):
            answer = self._net.get_json(url)
        if answer.status in (401, 403):
            raise NotAllowedError(
                f"{site} denies access to {repo.name}",
                hint="glm-aria reads only what is public there; get private models from the Hub",
                source=site,
            )
        if answer.status == 404:
            raise self._absent(repo, revision)
        with blaming(site):
            body = shapes.mapping(answer.value, site, "the answer")
        code = body.get("Code")
        if str(code).startswith(_ABSENT):
            raise self._absent(repo, revision)
        if code not in (200, "200"):
            raise shapes.odd(site, f"code {str(code)[:20]!r}, {str(body.get('Message'))[:200]!r}")
        return body.get("Data")

    def _cut(self, what: str) -> ProtocolError:
        """The site's own client cannot list such a folder either: `repo/files` of a model knows no pages."""
        return ProtocolError(
            f"{self.source.name} lists at most {self._cap} entries of a folder, and {what} holds as many or more: "
            "the listing may be incomplete, so it is not used",
            hint="take the model from the Hub, if it is there: glm-aria pull org/name",
            source=self.source.name,
        )

    def _absent(self, repo: RepoId, revision: str) -> NotFoundError:
        return NotFoundError(
            f"{repo.name}@{revision} was not found at {self.source.name}",
            hint=commit_hint(revision)
            or "organisations have other names there (zai-org is ZhipuAI), and the main branch is master",
            source=self.source.name,
        )


def _file(entry: dict[str, Any], site: str) -> RepoFile:
    """An entry as a file. Every file has its sha256, LFS or not; git's own hash is not told."""
    path = shapes.text(entry, "Path", site, "an entry of the listing")
    digest = shapes.digest(Algorithm.SHA256, shapes.text(entry, "Sha256", site, repr(path)).lower(), site, path)
    return RepoFile(path, shapes.size(entry, "Size", site, repr(path)), digest, is_lfs=entry.get("IsLFS") is True)
