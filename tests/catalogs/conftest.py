"""One hub for a module, with both kinds of catalog over the same repos; and fresh hubs for tests that spoil answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.catalogs.huggingface import HuggingFaceCatalog
from orchestrator.catalogs.modelscope import ModelScopeCatalog
from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE, Dialect
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Source
from orchestrator.net.answers import Limits
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from tests.catalogs.depot import DEPOT, DepotCatalog, depot_url
from tests.hub.loopback import LoopbackHub, Site
from tests.hub.repos import Repo

FILES = {
    "config.json": b"{}\n",
    "weights/model.safetensors": b"w" * 70_000,
    "weights/deep/er.bin": b"deep",
    "README.md": "Grüße\n".encode(),
    "empty.txt": b"",
    "name with spaces & 100%#.txt": b"odd",
}
TOKENS = {"hf_in": {"org/gated", "org/private"}, "hf_out": set[str]()}


def repos() -> list[Repo]:
    tiny = Repo("model", "org/tiny", FILES, renamed_from=("old/tiny",))
    tiny.tag("v1.0")
    tiny.commit({"README.md": b"second\n"})
    tiny.branch("dev", "v1.0")
    tiny.pull_request(1, {"README.md": b"from the pull request\n"})
    return [
        tiny,
        Repo("model", "org/gated", {"config.json": b"{}", "w.safetensors": b"w" * 100}, gated="manual"),
        Repo("model", "org/private", {"config.json": b"{}"}, private=True),
        Repo("model", "gpt", {"config.json": b"{}"}),
        Repo("dataset", "org/data", {"train.parquet": b"p" * 500}),
        Repo("model", "org/wide", {f"d{n % 7}/f{n:04d}.txt": b"%d" % n for n in range(120)}),
    ]


def model(name: str) -> RepoId:
    return RepoId(RepoType.MODEL, name)


def net(hub: LoopbackHub, token: str | None = None) -> Net:
    """A Net that does not wait and reads at most 100 kB. `token` goes to the hub's own face."""
    credentials = Credentials(token, frozenset({hub.host}))
    return Net(credentials, sleep=lambda _: None, limits=Limits(attempts=2, body=100_000))


def source(url: str, kind: Dialect = HUGGINGFACE) -> Source:
    return Source("the-site", url, kind)


def huggingface(hub: LoopbackHub, token: str | None = None) -> HuggingFaceCatalog:
    return HuggingFaceCatalog(source(hub.url), net(hub, token))


def modelscope_catalog(hub: LoopbackHub, site: Site, *, listing_cap: int = 3000) -> ModelScopeCatalog:
    return ModelScopeCatalog(source(site.url, MODELSCOPE), net(hub), listing_cap=listing_cap)


def modelscope(hub: LoopbackHub) -> ModelScopeCatalog:
    """The catalog of the hub's ModelScope, which is started when it is asked for first."""
    url = hub.faces["modelscope"].url if "modelscope" in hub.faces else hub.modelscope().url
    return ModelScopeCatalog(source(url, MODELSCOPE), net(hub))


def depot(hub: LoopbackHub) -> DepotCatalog:
    return DepotCatalog(source(depot_url(hub), DEPOT), net(hub))


@pytest.fixture(scope="module")
def shared_hub() -> Iterator[LoopbackHub]:
    with LoopbackHub(repos(), tokens=TOKENS, page_size=50) as running:
        yield running


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub(repos(), tokens=TOKENS, page_size=50) as running:
        yield running
