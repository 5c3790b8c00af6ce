"""A third kind of catalog, made up: its dialect, the class that speaks it, and a server of it for the loopback hub.

It is registered as a kind from outside would be, and no room knows of it. Its sites have commits of their own, call the
main branch `trunk`, and list the sha256 of every file as `sha256:HEX`.

    GET /v3/org/name/at/REVISION        {"commit": …, "tag": true|false}
    GET /v3/org/name/files/COMMIT       {"files": [{"kind": "file", "path", "bytes", "sum", "large"}, …]}
    GET /raw/org/name/COMMIT/PATH       the bytes, in ranges
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from orchestrator.catalogs import speakers
from orchestrator.catalogs.interface import Revision
from orchestrator.core.dialects import Dialect
from orchestrator.core.files import Algorithm, RepoFile, RepoTree
from orchestrator.core.refs import Ref, RepoId, is_commit
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError, NotFoundError, ProtocolError
from orchestrator.net import shapes
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from tests.hub.access import Shelf
from tests.hub.content import sha256_of
from tests.hub.faces import Face
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Commit, Repo
from tests.hub.wire import Reply, Request, file_reply, json_reply

DEPOT = Dialect(
    name="depot", scheme="depot", title="Depot", main="trunk", file="/raw/{name}/{commit}/{path}", api="/v3/{name}"
)


class DepotCatalog:
    """Implements `Catalog` for depots."""

    def __init__(self, source: Source, net: Net) -> None:
        self.source = source
        self._net = net

    def revision(self, ref: Ref) -> Revision:
        """See `Catalog.revision`."""
        found = self._get(ref.repo, "at", ref.revision)
        commit = shapes.text(found, "commit", self.source.name, "the revision")
        if not is_commit(commit) or (ref.is_commit and commit != ref.revision):
            raise shapes.odd(self.source.name, f"{commit[:80]!r} is not the commit that was asked for")
        return Revision(commit, False, ref.repo.name)

    def tree(self, repo: RepoId, commit: str) -> RepoTree:
        """See `Catalog.tree`."""
        site = self.source.name
        with blaming(site):
            entries = shapes.sequence(self._get(repo, "files", commit).get("files"), site, "the listing")
            found, others = shapes.files_of(entries, "kind", ("file", "folder"), site)
            files = [self._file(entry) for entry in found]
            shapes.refuse_unknown(files, others, site)
            return RepoTree.checked(commit, files, others)

    def is_tag(self, ref: Ref) -> bool:
        """See `Catalog.is_tag`."""
        try:
            return self._get(ref.repo, "at", ref.revision).get("tag") is True
        except GlmAriaError:
            return False

    def _file(self, entry: dict[str, Any]) -> RepoFile:
        site = self.source.name
        path = shapes.text(entry, "path", site, "an entry of the listing")
        digest = shapes.text(entry, "sum", site, repr(path)).removeprefix("sha256:")
        size = shapes.size(entry, "bytes", site, repr(path))
        return RepoFile(path, size, shapes.digest(Algorithm.SHA256, digest, site, path), entry.get("large") is True)

    def _get(self, repo: RepoId, what: str, revision: str) -> dict[str, Any]:
        site = self.source.name
        with blaming(site):
            answer = self._net.get_json(f"{self.source.api_url(repo)}/{what}/{quote(revision, safe='')}")
            if answer.status == 404:
                raise NotFoundError(f"{repo.name}@{revision} was not found at {site}", source=site)
            if answer.status != 200:
                raise ProtocolError(f"{site} answered HTTP {answer.status}", source=site)
            return shapes.mapping(answer.value, site, "the answer")


@dataclass
class Depot:
    """The face: the open repos of a shelf."""

    shelf: Shelf

    def __call__(self, request: Request) -> Reply:
        match request.segments:
            case ["v3", owner, name, ("at" | "files") as what, revision]:
                repo, commit = self._find(f"{owner}/{name}", revision)
                if repo is not None and commit is not None:
                    is_tag = f"refs/tags/{revision}" in repo.refs
                    return json_reply({"commit": own_id(commit), "tag": is_tag} if what == "at" else _listing(commit))
            case ["raw", owner, name, revision, *path]:
                _, commit = self._find(f"{owner}/{name}", revision)
                file = commit.files.get("/".join(path)) if commit else None
                if file is not None:
                    reply = file_reply(request, file.content, sha256_of(file.content))
                    reply.file = file.path
                    return reply
        return json_reply({"error": "not here"}, 404)

    def _find(self, name: str, revision: str) -> tuple[Repo | None, Commit | None]:
        repo = self.shelf.repos.get(("model", name))
        if repo is None or repo.private or repo.gated:
            return None, None
        named = repo.resolve("main" if revision == DEPOT.main else revision)
        return repo, named or next((commit for commit in repo.commits.values() if own_id(commit) == revision), None)


def own_id(commit: Commit) -> str:
    """The id that a depot has for a commit."""
    return hashlib.sha1(b"depot " + commit.oid.encode(), usedforsecurity=False).hexdigest()


def _listing(commit: Commit) -> dict[str, Any]:
    return {
        "files": [
            {
                "kind": "file",
                "path": file.path,
                "bytes": file.size,
                "sum": f"sha256:{sha256_of(file.content)}",
                "large": file.sha256 is not None,
            }
            for file in commit.files.values()
        ]
    }


def depot_url(hub: LoopbackHub) -> str:
    """The address of the hub's depot, which has the repos of the hub. It is started when it is asked for first."""
    face = hub.faces.get("depot")
    return face.url if face else hub.serve(Face("depot", Depot(hub.shelf), hub.log))


def main() -> None:
    """Run the command with the kind known to it; `Machine` puts its own words for the command before those of it."""
    from orchestrator.cli.main import program

    speakers.register(DEPOT, DepotCatalog)
    sys.argv = ["glm-aria", *sys.argv[sys.argv.index("orchestrator.cli.main") + 1 :]]
    program()


if __name__ == "__main__":
    main()
