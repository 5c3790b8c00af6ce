"""Where small files come from: a foretold address counts only while it is surely the file's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.catalogs.huggingface import HuggingFaceCatalog
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin, Source
from orchestrator.depot.locate import SourceLocator
from orchestrator.depot.other_catalogs import OtherCatalogs
from orchestrator.net.answers import Limits
from orchestrator.net.session import Net
from tests import plain
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.wire import Reply, Request, json_reply, redirect

FILES = {f"file-{number}.json": b"%d" % number * 40 for number in range(5)}


def locator(hub: LoopbackHub, net: Net) -> SourceLocator:
    root = Source("hub", hub.url, is_root=True)
    sites = plain.sites(HuggingFaceCatalog(root, net))
    catalogs = OtherCatalogs((), sites, lambda _event: None)
    return SourceLocator(plain.sources(root, net=net), catalogs, lambda _event: None)


def job(hub: LoopbackHub, path: str) -> Job:
    repo = hub.repo("org/many")
    file = repo.commits[repo.head].files[path]
    where = Origin(RepoId(RepoType.MODEL, "org/many"), repo.head, path)
    return Job(Digest(Algorithm.GIT_SHA1, file.oid), file.size, False, (where,))


def read(made: SourceLocator, one: Job) -> bytes:
    with made.fetch(one, "hub", 0, one.size) as body:
        return b"".join(body.chunks)


def _absent(_reply: Reply) -> Reply:
    return json_reply({}, 404)


def _other(reply: Reply) -> Reply:
    return Reply(200, {"ETag": '"' + "0" * 40 + '"'}, reply.content)


def _unnamed(reply: Reply) -> Reply:
    return Reply(200, {}, reply.content)


def _on(_reply: Reply) -> Reply:
    return redirect(307, "/elsewhere")


def test_one_request_for_a_file() -> None:
    with LoopbackHub([Repo("model", "org/many", FILES)]) as hub, Net() as net:
        made = locator(hub, net)
        for path, data in FILES.items():
            assert read(made, job(hub, path)) == data
        assert len(hub.log.requests()) == len(FILES) + 1, "the redirect of the first foretells those of the rest"


@pytest.mark.parametrize("spoil", [_absent, _other, _unnamed, _on])
def test_a_foretold_address_that_does_not_do(spoil: Callable[[Reply], Reply]) -> None:
    """What it answers says nothing of the file: by its plain address it is there, and so are the others."""
    with LoopbackHub([Repo("model", "org/many", FILES)]) as hub, Net(limits=Limits(attempts=1)) as net:
        made = locator(hub, net)
        assert read(made, job(hub, "file-0.json")) == FILES["file-0.json"]
        redirected: set[str] = set()

        def change(request: Request, reply: Reply) -> Reply:
            name = request.path.rpartition("/")[2]
            if "/resolve/" in request.path:
                redirected.add(name)
            return spoil(reply) if "resolve-cache" in request.path and name not in redirected else reply

        hub.rewrite(change)
        for path in ("file-1.json", "file-2.json"):
            assert read(made, job(hub, path)) == FILES[path]
        tried = [seen.path for seen in hub.log.requests() if "resolve-cache" in seen.path and "file-2" in seen.path]
        assert len(tried) == 1, "after one that does not do, nothing is foretold"
