"""Models of the registry for clients of the Hub: names, rights, bytes, and what the Hub hears of them: nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from huggingface_hub import HfApi, RepoFile
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from tests.hub.repos import Repo
from tests.oci.manifests import model_pack
from tests.oci.pushing import push_files
from tests.serve.registry.house import RegistryHouse, registry_house

WEIGHTS = bytes(range(256)) * 8192
FILES = {"config.json": b'{"model_type": "gpt2"}', "model.safetensors": WEIGHTS, "sub/note.txt": b"note\n"}
DECOY = {"config.json": b'{"whose": "somebody else on the Hub"}'}
ODD = ("^1.2", "~1.2.0", ">=1 <2", "1.x || 3", "*")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryHouse]:
    """A registry with two versions and an alias, and a Hub that has a model of the same name, another one in the same
    namespace, and one that is nobody's business."""
    hub_has = [Repo("model", name, DECOY) for name in ("team/model", "team/decoy", "org/open")]
    with registry_house(tmp_path_factory.mktemp("face"), repos=hub_has) as house:
        house.person("admin", "--role", "admin")
        house.person("reader", "--role", "reader", "--namespace", "team")
        house.person("puller", "--role", "puller", "--namespace", "org")
        house.person("both", "--role", "puller")
        house.publish("admin", "team/model", "1.2.3", FILES)
        house.publish("admin", "team/model", "1.3.0-rc.1", {**FILES, "new.txt": b"new"})
        assert move(house, "team/model", "prod", "1.2.3") == 200
        yield house
        assert not [seen.path for seen in house.hub.log.requests() if "team" in seen.path.lower()]


@pytest.fixture(autouse=True)
def _tells_nothing(house: RegistryHouse) -> Iterator[None]:
    """The Hub hears of no name in a namespace of the registry, and of no token."""
    yield
    assert not [seen for seen in house.hub.log.requests() if "team" in f"{seen.path}?{seen.query}".lower()]
    assert house.hub.log.tokens() <= {"hf_of_the_operator"}


def move(house: RegistryHouse, model: str, alias: str, version: str) -> int:
    present = house.call("admin", "GET", f"/{model}/aliases/{alias}")
    condition = {"If_Match": present.tag} if present.tag else {"If_None_Match": "*"}
    return house.call("admin", "PUT", f"/{model}/aliases/{alias}", {"version": version}, **condition).status


def api(house: RegistryHouse, who: str) -> HfApi:
    return HfApi(house.server.url, token=house.tokens[who])


def test_versions_ranges_and_aliases_are_revisions(house: RegistryHouse) -> None:
    client = api(house, "reader")
    commits = {revision: client.model_info("team/model", revision=revision).sha for revision in ("1.2.3", "prod", *ODD)}
    assert len(set(commits.values())) == 1
    assert client.model_info("team/model").sha == commits["prod"]
    assert client.model_info("team/model", revision=commits["prod"]).sha == commits["prod"]
    assert client.model_info("team/model", revision="1.3.0-rc.1").sha != commits["prod"]
    resolved = house.call("reader", "GET", "/team/model/resolve?range=prod").value
    assert commits["prod"] == resolved["commit"] == resolved["digest"].removeprefix("sha256:")[:40]
    assert client.model_info("team/model", revision=resolved["digest"]).sha == commits["prod"]


def test_refs_are_aliases_and_versions(house: RegistryHouse) -> None:
    refs = api(house, "reader").list_repo_refs("team/model")
    assert [one.name for one in refs.tags] == ["1.3.0-rc.1", "1.2.3"]
    assert {one.name: one.target_commit for one in refs.branches} == dict.fromkeys(
        ("main", "prod"), refs.tags[1].target_commit
    )
    commits = api(house, "reader").list_repo_commits("team/model", revision="prod")
    assert [one.commit_id for one in commits] == [refs.tags[1].target_commit]


def test_models_are_listed_for_who_may_read_them(house: RegistryHouse) -> None:
    assert [one.id for one in api(house, "reader").list_models(author="team")] == ["team/model"]
    assert [one.id for one in api(house, "both").list_models(search="mod", limit=5)] == ["team/model"]
    assert not list(api(house, "reader").list_models(author="org"))
    assert not list(api(house, "puller").list_models())
    assert house.ask("", "GET", "/api/models").status == 401


def test_the_tree_has_sizes_and_digests(house: RegistryHouse) -> None:
    client = api(house, "reader")
    tree = {one.path: one for one in client.list_repo_tree("team/model", revision="^1.2", recursive=True)}
    assert tree.keys() == FILES.keys() | {"sub"}
    (info,) = client.get_paths_info("team/model", "model.safetensors", revision="^1.2")
    assert isinstance(info, RepoFile)
    assert info.lfs is not None
    assert info.lfs["sha256"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert info.size == len(WEIGHTS)
    assert client.file_exists("team/model", "sub/note.txt", revision="^1.2")
    with pytest.raises(EntryNotFoundError):
        client.hf_hub_download("team/model", "absent.txt", revision="prod")


@pytest.mark.parametrize("revision", ["prod", *ODD])
def test_bytes_by_address(house: RegistryHouse, revision: str) -> None:
    path = f"/team/model/resolve/{quote(revision, safe='')}/model.safetensors"
    head = house.ask("reader", "HEAD", path)
    assert (head.status, head.value) == (200, b"")
    assert house.ask("reader", "GET", path, Range="bytes=1000-1999").value == WEIGHTS[1000:2000]
    assert house.ask("reader", "GET", path).value == WEIGHTS


def test_who_may_not_read_hears_what_the_hub_would_say(house: RegistryHouse) -> None:
    """Nothing tells a model of the registry from one that is nowhere, whichever way it is asked for."""
    api(house, "reader").model_info("team/model", revision="prod")
    for name in ("team/model", "team/decoy", "nobody/nothing"):
        for path in (
            f"/api/models/{name}/revision/prod",
            f"/api/models/{name}/revision/%5E1",
            f"/api/models/{name}/refs",
            f"/api/models/{name}/tree/main",
            f"/{name}/resolve/prod/config.json",
            f"/api/v1/models/{name}/revisions",
            f"/api/v1/models/{name}/repo/files?Revision=prod",
        ):
            said = {who: house.ask(who, "GET", path) for who in ("puller", "")}
            assert {who: one.status for who, one in said.items()} == {"puller": 404, "": 401}, path
            assert "registry" not in json.dumps([one.value for one in said.values()])
    for who, error in (("puller", RepositoryNotFoundError), ("reader", RevisionNotFoundError)):
        with pytest.raises(error):
            api(house, who).model_info("team/model", revision="^9")


def test_all_names_in_a_namespace_of_the_registry_are_its(house: RegistryHouse) -> None:
    for name in ("team/decoy", "Team/Decoy", "team/nothing"):
        for revision in ("main", "v1", "^1"):
            with pytest.raises(RepositoryNotFoundError):
                api(house, "both").model_info(name, revision=revision)
    assert house.ask("both", "GET", "/api/models/org/open").status == 200
    assert house.ask("both", "GET", "/api/models/org/open/revision/%5E1").status == 404
    assert house.ask("both", "GET", "/api/models/org/open/refs").status == 200


def test_who_moves_an_alias_sees_it_at_once(house: RegistryHouse) -> None:
    client = api(house, "reader")
    for version in ("1.3.0-rc.1", "1.2.3", "1.3.0-rc.1", "1.2.3"):
        assert move(house, "team/model", "canary", version) == 200
        wanted = client.model_info("team/model", revision=version).sha
        assert client.model_info("team/model", revision="canary").sha == wanted


def test_what_the_registry_cannot_say_is_what_it_said_last(tmp_path: Path) -> None:
    with registry_house(tmp_path, repos=[Repo("model", "org/open", DECOY)]) as house:
        house.person("admin", "--role", "admin")
        house.publish("admin", "team/model", "1.2.3", FILES)
        path = "/team/model/resolve/%5E1/config.json"
        assert house.ask("admin", "GET", path).value == FILES["config.json"]
        assert house.ask("admin", "GET", "/api/models/org/open").status == 200
        house.below.kill()
        stale = house.ask("admin", "GET", path)
        assert (stale.status, stale.value) == (200, FILES["config.json"])
        assert house.ask("admin", "GET", "/api/models/team/model/revision/1.x").status == 503
        assert house.ask("admin", "GET", "/api/models/org/open").status == 200
        house.below.start()
        assert house.ask("admin", "GET", "/api/models/team/model/revision/1.x").status == 200


def test_bytes_that_are_not_those_of_the_version_reach_nobody(tmp_path: Path) -> None:
    """The registry has rotted; what a public model of the Hub has, too, comes from there, if it may be asked for it."""
    public = Repo("model", "org/public", {"model.safetensors": WEIGHTS})
    told_of = {"GLM_ARIA_REGISTRY_HUB_NAMESPACES": "*"}
    with registry_house(tmp_path, repos=[public, Repo("model", "other/secret", FILES)], env=told_of) as house:
        house.person("admin", "--role", "admin")
        house.publish("admin", "other/secret", "1.0.0", {"config.json": b"{}"})
        twin, own = (
            {
                "org.opencontainers.image.source": f"https://huggingface.co/{name}",
                "org.opencontainers.image.revision": public.head,
            }
            for name in ("org/public", "other/secret")
        )
        told = house.call("admin", "GET", "/team/model/uploads").value["repository"]
        client = house.client("admin", told.partition(f"{house.below.host}/")[2])
        for version, annotations in (("1.0.0", own), ("2.0.0", twin)):
            digest = push_files(client, "upload", model_pack(FILES, annotations=annotations), FILES)
            published = house.call("admin", "PUT", f"/team/model/versions/{version}", {"digest": str(digest)})
            assert published.status == 201
            blob = house.below.blob(model_pack(FILES)["layers"][1]["digest"])
            blob.chmod(0o644)
            blob.write_bytes(WEIGHTS[::-1])
        path = "/team/model/resolve/{}/model.safetensors"
        assert house.ask("admin", "GET", path.format("1.0.0"), User_Agent="hf_hub/2.4.0").value != WEIGHTS[::-1]
        assert house.ask("admin", "GET", path.format("2.0.0")).value == WEIGHTS
        assert house.hub.log.bytes_sent(file="*.safetensors") >= len(WEIGHTS)
        # It is the registry's, whoever says that it is the Hub's.
        assert not [one.path for one in house.hub.log.requests() if "secret" in one.path]
