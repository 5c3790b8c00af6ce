"""A Hub (huggingface.co, or a mirror of it) as a catalog.

Endpoints as huggingface_hub 2.4 calls them (`hf_api.py`: `repo_info`, `list_repo_tree`, `list_repo_refs`):
`GET /api/{type}s/{id}/revision/{rev}`, `…/tree/{commit}?recursive=true&expand=false` in pages, `…/refs`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from orchestrator.catalogs.interface import Revision
from orchestrator.catalogs.paging import Paging
from orchestrator.catalogs.refusals import refusal
from orchestrator.core.files import Algorithm, RepoFile, RepoTree
from orchestrator.core.refs import Ref, RepoId, commit_hint, is_commit
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError, NotFoundError, UsageError
from orchestrator.net import shapes
from orchestrator.net.addresses import place
from orchestrator.net.answers import Answer
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net

_KINDS = ("file", "directory")


class HuggingFaceCatalog:
    """Implements `Catalog` for sites that speak the Hub's API."""

    def __init__(self, source: Source, net: Net) -> None:
        self.source = source
        self._net = net

    def revision(self, ref: Ref) -> Revision:
        """See `Catalog.revision`."""
        value, _ = self._get(self._api(ref.repo, "revision", quote(ref.revision, safe="")), ref.repo, ref.revision)
        site = self.source.name
        info = shapes.mapping(value, site, "the revision")
        commit = shapes.text(info, "sha", site, "the revision")
        if not is_commit(commit):
            raise shapes.odd(site, f"{commit[:80]!r} is not a commit")
        if ref.is_commit and commit != ref.revision:
            raise shapes.odd(site, f"asked for commit {ref.revision}, it answered with {commit}")
        name_now = ref.repo.name if info.get("id") is None else info["id"]
        try:
            RepoId(ref.repo.type, name_now)
        except (UsageError, AttributeError, TypeError) as error:
            raise shapes.odd(site, f"{str(name_now)[:80]!r} is not a repo name") from error
        is_restricted = bool(info.get("gated")) or bool(info.get("private"))
        return Revision(commit, is_restricted, name_now, shapes.moment(info.get("lastModified")))

    def tree(self, repo: RepoId, commit: str) -> RepoTree:
        """See `Catalog.tree`. One request a thousand files."""
        site = self.source.name
        url: str | None = self._api(repo, "tree", commit) + "?recursive=true&expand=false"
        files: list[RepoFile] = []
        left_out: list[str] = []
        paging = Paging(site, repo.url_path)
        seen: set[str] = set()
        while url is not None:
            seen.add(url)
            value, answer = self._get(url, repo, commit)
            page = shapes.sequence(value, site, "the listing")
            paging.took(len(page))
            with blaming(site):
                found, others = shapes.files_of(page, "type", _KINDS, site)
                files.extend(_file(entry, site) for entry in found)
                left_out += others
            url = self._next_page(answer)
            if url in seen:
                raise shapes.odd(site, f"the pages of the listing of {repo.url_path} form a loop")
        with blaming(site):
            shapes.refuse_unknown(files, left_out, site)
            return RepoTree.checked(commit, files, tuple(left_out))

    def is_tag(self, ref: Ref) -> bool:
        """See `Catalog.is_tag`."""
        return ref.revision in self._names(ref.repo, "tags")

    def _names(self, repo: RepoId, *kinds: str) -> list[str]:
        """Names of `branches` or `tags`. Best effort: one request, no retries, empty when it fails."""
        try:
            refs = shapes.mapping(self._net.get_json(self._api(repo, "refs"), attempts=1).value, "", "")
            return [str(item["name"]) for kind in kinds for item in refs.get(kind) or ()]
        except (GlmAriaError, TypeError, KeyError):
            return []

    def _api(self, repo: RepoId, *parts: str) -> str:
        return "/".join((self.source.api_url(repo), *parts))

    def _get(self, url: str, repo: RepoId, revision: str) -> tuple[Any, Answer]:
        """The JSON of an address, and the answer that held it; the Hub's refusals as errors."""
        with blaming(self.source.name):
            answer = self._net.get_json(url)
            if answer.status == 200:
                return answer.value, answer
        had_token = self._net.credentials.may_send(url)
        error = refusal(answer, self.source, repo, revision, had_token=had_token)
        if isinstance(error, NotFoundError) and answer.headers.get("X-Error-Code") == "RevisionNotFound":
            error.hint = self._near(repo, revision)
        raise error

    def _next_page(self, answer: Answer) -> str | None:
        """The address in `Link: <…>; rel="next"`, always at the host that answered.

        A mirror that passes the root's header on unchanged names the root there: its path and query count, not its
        host. So neither the listing nor the token moves to another server.
        """
        found = answer.linked("next")
        if found is None:
            return None
        target = urljoin(answer.url, found)
        prefix = "" if place(target) == place(answer.url) else urlsplit(self.source.url).path
        came, goes = urlsplit(answer.url), urlsplit(target)
        return urlunsplit((came.scheme, came.netloc, prefix + goes.path, goes.query, ""))

    def _near(self, repo: RepoId, revision: str) -> str | None:
        """Hint with branches and tags that resemble `revision`."""
        from difflib import get_close_matches

        names = self._names(repo, "branches", "tags")
        chosen = get_close_matches(revision, names, n=5, cutoff=0.4) or names[:5]
        return commit_hint(revision) or (f"it has {', '.join(chosen)}" if chosen else None)


def _file(entry: dict[str, Any], site: str) -> RepoFile:
    """A file of the tree.

    The digest is that of the content: sha256 for LFS, else git's blob sha1. For LFS `oid` is the sha1 of the pointer.
    It follows from sha256 and size where git-lfs wrote the pointer, which is not always so.
    """
    path = shapes.text(entry, "path", site, "an entry of the listing")
    what = repr(path)
    oid = shapes.text(entry, "oid", site, what)
    length = shapes.size(entry, "size", site, what)
    git = shapes.digest(Algorithm.GIT_SHA1, oid, site, path)
    if entry.get("lfs") is None:
        return RepoFile(path, length, git, is_lfs=False, git_oid=oid)
    lfs = shapes.mapping(entry["lfs"], site, f"'lfs' of {what}")
    sha256 = shapes.text(lfs, "oid", site, what)
    digest = shapes.digest(Algorithm.SHA256, sha256, site, path)
    if lfs.get("size") is not None and shapes.size(lfs, "size", site, what) != length:
        raise shapes.odd(site, f"two sizes for {what}", path)
    return RepoFile(path, length, digest, is_lfs=True, git_oid=oid)
