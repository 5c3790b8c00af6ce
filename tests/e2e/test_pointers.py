"""reg:// and mlflow:// with the real command: servers that say which model of a registry a name stands for."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.core.registries import Repository
from orchestrator.net.session import Net
from orchestrator.oci.client import Client
from orchestrator.oci.login import Login
from orchestrator.oci.logins import keep_login
from orchestrator.oci.registries import Registries
from tests.hub.content import MIB, generate
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, content
from tests.oci.manifests import model_pack
from tests.oci.pushing import push_files
from tests.servers.registry import Answered, RegistryServer, Seen, SmallServer, TokenService

FILES = {"config.json": b"{}\n", "model.safetensors": generate(2 * MIB, 1)}
NEW = {**FILES, "config.json": b'{"new": 1}\n'}


@dataclass
class Facade:
    """What a server of models answers, and the registry that it stands on. `service` issues the registry's tokens."""

    server: SmallServer
    registry: RegistryServer
    service: TokenService
    digests: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def facade(machine: Machine, tmp_path: Path) -> Iterator[Facade]:
    """A server at which the machine has a login, whose password is its canary; its token service is its own."""
    service = TokenService({"ann": machine.token})
    found: list[Facade] = []

    def answer(request: Seen) -> Answered:
        if request.path == "/registry/token":
            return service._answer(request)
        if request.authorization != f"Bearer {machine.token}":
            return Answered(401)
        digest = found[0].digests.get(request.query["range"][0])
        if digest is None or "/team/model/resolve" not in request.path:
            return Answered(404, b"{}")
        where = f"{found[0].registry.url}/team/model"
        return Answered(200, json.dumps({"digest": digest, "repository": where, "version": "1.2.3"}).encode())

    with SmallServer(answer) as server, service, Net() as net:
        service.realm_at = f"{server.url}/registry/token"
        with RegistryServer(tmp_path / "registry", tokens=service) as registry:
            login = Login("ann", machine.token, service.realm)
            keep_login(tmp_path / "auth.json", server.host, Login("ann", machine.token))
            client = Client(Registries(net, lambda: {registry.host: login}), Repository(registry.url, "team/model"))
            found.append(Facade(server, registry, service))
            for version, files in (("1.2.3", FILES), ("1.2.4", NEW)):
                digest = str(push_files(client, version, model_pack(files), files))
                found[0].digests |= {version: digest, digest: digest}
            found[0].digests |= {"^1.2": found[0].digests["1.2.4"], "prod": found[0].digests["1.2.3"]}
            server.seen.clear()
            service.seen.clear()
            yield found[0]


def env(facade: Facade, tmp_path: Path) -> dict[str, str]:
    return {"GLM_ARIA_REGISTRY": facade.server.url, "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}


def test_a_range_and_an_alias_are_pulled(machine: Machine, facade: Facade, tmp_path: Path) -> None:
    given = env(facade, tmp_path)
    for ref, version, files in (("reg://team/model@^1.2", "1.2.4", NEW), ("reg://team/model@prod", "1.2.3", FILES)):
        done = machine.run("pull", ref, "--json", env=given).ended(0)
        commit = facade.digests[version].partition(":")[2][:40]
        assert (done.model["ref"], done.model["commit"]) == (ref, commit)
        assert content(machine.snapshot("model/team/model", commit)) == files
        assert machine.run("pull", ref, "--offline", "--json", env=given).ended(0).model["commit"] == commit
    refs = machine.cache / "models--team--model" / "refs"
    assert sorted(path.name for path in refs.iterdir()) == ["^1.2", "prod"]


def test_an_alias_that_went_back_is_followed(machine: Machine, facade: Facade, tmp_path: Path) -> None:
    given = env(facade, tmp_path)
    for version in ("1.2.3", "1.2.4", "1.2.3"):
        facade.digests["prod"] = facade.digests[version]
        done = machine.run("pull", "reg://team/model@prod", "--json", env=given).ended(0)
        assert done.model["commit"] == facade.digests[version].partition(":")[2][:40]
        assert done.warnings == []


def test_a_lock_of_it_is_replayed(machine: Machine, facade: Facade, tmp_path: Path) -> None:
    given = env(facade, tmp_path)
    machine.run("pull", "reg://team/model@^1.2", "--lock", "my.lock", env=given).ended(0)
    (model,) = tomllib.loads((machine.work / "my.lock").read_text())["model"]
    assert model["pinned"] == f"oci://{facade.registry.host}/team/model@{facade.digests['1.2.4']}"
    facade.digests["^1.2"] = facade.digests["1.2.3"]
    done = machine.run("pull", "--locked", "my.lock", "--force", "--json", env=given).ended(0)
    assert done.model["commit"] == facade.digests["1.2.4"].partition(":")[2][:40]


def test_the_login_goes_to_the_server_and_a_token_to_the_registry(
    machine: Machine, facade: Facade, tmp_path: Path
) -> None:
    """The machine's canary is the login: its fixture looks for it in all files and outputs."""
    machine.run("pull", "reg://team/model@prod", "--json").ended(2)
    machine.run("pull", "reg://team/model@prod", "--json", env={"GLM_ARIA_REGISTRY": facade.server.url}).ended(77)
    machine.run("pull", "reg://team/model@9", "--json", env=env(facade, tmp_path)).ended(66)
    machine.run("pull", "reg://team/model@prod", "--json", env=env(facade, tmp_path)).ended(0)
    assert machine.token not in facade.registry.log
    scopes = {one for request in facade.server.seen for one in request.query.get("scope", [])}
    assert scopes == {"repository:team/model:pull"}


@pytest.mark.parametrize("named", ["hf://team/model", "http://u:p@h/team/model", "https://h/Team", "file:///etc"])
def test_what_a_server_names_must_be_a_registry(machine: Machine, named: str) -> None:
    body = json.dumps({"digest": f"sha256:{'0' * 64}", "repository": named}).encode()
    with SmallServer(lambda _: Answered(200, body)) as server:
        machine.run("pull", "reg://team/model@1", "--json", env={"GLM_ARIA_REGISTRY": server.url}).ended(76)


# -- MLflow, by its documented REST


def mlflow(source: str) -> SmallServer:
    def answer(request: Seen) -> Answered:
        if request.path.endswith("/registered-models/alias") and request.query["alias"] == ["champion"]:
            return Answered(200, json.dumps({"model_version": {"name": "fraud", "version": "3"}}).encode())
        if request.path.endswith("/model-versions/get-download-uri") and request.query["version"] == ["3"]:
            return Answered(200, json.dumps({"artifact_uri": source}).encode())
        return Answered(404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}')

    return SmallServer(answer)


def test_an_alias_of_mlflow_leads_to_a_registry(machine: Machine, tmp_path: Path) -> None:
    with RegistryServer(tmp_path / "registry") as registry, Net() as net:
        client = Client(Registries(net), Repository(registry.url, "team/model"))
        digest = push_files(client, "1.0.0", model_pack(FILES), FILES)
        with mlflow(f"oci://{registry.host}/team/model:1.0.0") as server:
            given = {"MLFLOW_TRACKING_URI": server.url}
            for ref in ("mlflow://fraud@champion", "mlflow://fraud@3"):
                done = machine.run("pull", ref, "--lock", "my.lock", "--json", env=given).ended(0)
                assert (done.model["ref"], done.model["commit"]) == (ref, digest.hex[:40])
            assert content(machine.snapshot("model/fraud", digest.hex[:40])) == FILES
            machine.run("pull", "--locked", "my.lock", "--force", "--json", env=given).ended(0)
            machine.run("pull", "mlflow://fraud@other", "--json", env=given).ended(66)


def test_an_alias_of_mlflow_leads_to_a_version_of_a_registry_of_models(
    machine: Machine, facade: Facade, tmp_path: Path
) -> None:
    for source, code in (("reg://team/model@^1.2", 0), ("reg://team/model:1.2.3", 0), ("reg://team/model@^9", 66)):
        with mlflow(source) as server:
            given = {"MLFLOW_TRACKING_URI": server.url, **env(facade, tmp_path)}
            done = machine.run("pull", "mlflow://fraud@champion", "--json", env=given).ended(code)
        if code == 0:
            digest = facade.digests[source.rpartition(source[16])[2]]
            assert (done.model["version"], done.model["commit"]) == ("3", digest[7:47])
    with mlflow("mlflow://fraud@champion") as server:
        looped = machine.run("pull", "mlflow://fraud@champion", "--json", env={"MLFLOW_TRACKING_URI": server.url})
        assert "another name" in looped.ended(76).error["message"]


def test_another_server_is_not_taken_for_mlflow(machine: Machine) -> None:
    with SmallServer(lambda _: Answered(404, b'{"error": "no such page"}')) as server:
        refused = machine.run("pull", "mlflow://fraud@champion", "--json", env={"MLFLOW_TRACKING_URI": server.url})
        assert "tracking server" in refused.ended(76).error["hint"]


def test_an_alias_of_mlflow_leads_to_a_hub(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/m", FILES)
    make_hub(repo)
    with mlflow("hf://org/m@main") as server:
        done = machine.run(
            "pull", "mlflow://fraud@champion", "--root", machine.root, "--json", env={"MLFLOW_TRACKING_URI": server.url}
        ).ended(0)
    assert done.model["commit"] == repo.head
    assert content(machine.snapshot("model/fraud", repo.head)) == FILES


def test_what_mlflow_keeps_itself_is_not_fetched(machine: Machine) -> None:
    with mlflow("mlflow-artifacts:/1/models/m-1/artifacts") as server:
        refused = machine.run("pull", "mlflow://fraud@champion", "--json", env={"MLFLOW_TRACKING_URI": server.url})
        assert "push" in refused.ended(66).error["hint"]
    machine.run("config", "show", env={"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}).ended(0)
