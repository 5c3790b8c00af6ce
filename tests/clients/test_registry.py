"""Every client through `glm-aria serve --registry`: a model of the registry, at a version, a range and an alias."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.client import Client, Download, Protocol
from tests.clients.judge import assert_right, content_of
from tests.clients.table import CLIENTS
from tests.hub.content import MIB
from tests.hub.models import tiny_model
from tests.hub.repos import Commit, Repo
from tests.serve.registry.house import RegistryHouse, registry_house

pytestmark = pytest.mark.sampled(5)

LISTED = ("1.2.3", "prod")
RANGES = ("^1.2", ">=1.2.0 <2")
OLD = "modelscope-1.37"
CANNOT = {
    OLD: "sends its token to www.modelscope.cn alone, and takes no revision that is not listed as a branch or a tag",
    "node": "takes no token that does not begin with hf_",
}
BEARERS = tuple(row for row in CLIENTS if row.name not in CANNOT)
GIT_NAMES_ONLY = ("glm-aria",)
"""A ref to a Hub names what git can have; `reg://` is for ranges."""


@dataclass(frozen=True)
class Published(Commit):
    """A version: its commit is the beginning of the digest of its manifest."""

    digest: str

    @property
    def oid(self) -> str:
        return self.digest.removeprefix("sha256:")[:40]


@dataclass
class OwnRepo(Repo):
    """A model of a registry, of which all revisions are one version."""

    digest: str = ""

    def resolve(self, revision: str) -> Commit:
        files = self.commits[self.head].files
        return Published(files, None, "", 0, "", self.digest)


@contextmanager
def shop_in(folder: Path, *words: str) -> Iterator[tuple[RegistryHouse, OwnRepo]]:
    """A registry with one model, for one who may read it; the Hub has another one of its name."""
    repo = OwnRepo("model", "team/model", tiny_model(2, shards=2, shard_size=2 * MIB) | {"sub/a note.txt": b"note\n"})
    contents = {path: file.content.read(0, file.size) for path, file in repo.commits[repo.head].files.items()}
    with registry_house(folder, *words, repos=[Repo("model", "team/model", {"x": b"x"})]) as house:
        house.person("admin", "--role", "admin")
        house.person("reader", "--role", "reader", "--namespace", "team")
        repo.digest = house.publish("admin", "team/model", "1.2.3", contents)
        alias = house.call("admin", "PUT", "/team/model/aliases/prod", {"version": "1.2.3"}, If_None_Match="*")
        assert alias.status == 200
        yield house, repo
        assert not house.hub.log.requests()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RegistryHouse, OwnRepo]]:
    with shop_in(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.mark.clients(BEARERS, short=3)
@pytest.mark.drawn("revision", (*LISTED, *RANGES))
def test_a_model_of_the_registry(
    client: Client, revision: str, shop: tuple[RegistryHouse, OwnRepo], tmp_path: Path
) -> None:
    house, repo = shop
    if client.name in GIT_NAMES_ONLY and revision in RANGES:
        revision = LISTED[-1]
    download = Download(house.server.url, repo, tmp_path, revision, house.tokens["reader"])
    assert_right(client, client.run(download), wanted(repo))
    if client.can_repeat:
        assert_right(client, client.run(download), wanted(repo))


@pytest.mark.clients(BEARERS, short=3)
def test_who_names_no_revision(client: Client, shop: tuple[RegistryHouse, OwnRepo], tmp_path: Path) -> None:
    house, repo = shop
    main = "master" if client.speaks is Protocol.MODELSCOPE else "main"
    download = Download(house.server.url, repo, tmp_path, main, house.tokens["reader"])
    assert_right(client, client.run(download), wanted(repo))


@pytest.mark.clients(BEARERS, short=2)
def test_who_may_not_read_gets_nothing(client: Client, shop: tuple[RegistryHouse, OwnRepo], tmp_path: Path) -> None:
    house, repo = shop
    token = house.tokens.get("stranger") or house.tokens[house.person("stranger", "--namespace", "other")]
    outcome = client.run(Download(house.server.url, repo, tmp_path, "prod", token), 60, may_try_on=True)
    assert outcome.returncode != 0
    assert not outcome.files.items() & wanted(repo).items()


@pytest.mark.clients(CLIENTS, short=1)
def test_a_server_without_tokens(client: Client, tmp_path: Path) -> None:
    with shop_in(tmp_path / "shop", "--auth", "none") as (house, repo):
        main = "master" if client.speaks is Protocol.MODELSCOPE else "main"
        for revision in (*LISTED, main):
            download = Download(house.server.url, repo, tmp_path / revision, revision)
            assert_right(client, client.run(download), wanted(repo))


def wanted(repo: OwnRepo) -> Mapping[str, str]:
    return content_of(repo.resolve("prod"))
