"""Models of OCI registries with the real command, docker-registry and aria2c: oci://HOST/team/model:TAG."""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import scan_cache_dir, snapshot_download

from orchestrator.core.files import Digest
from orchestrator.core.registries import Repository
from orchestrator.net.session import Net
from orchestrator.oci.client import Client
from orchestrator.oci.login import Login
from orchestrator.oci.logins import keep_login
from orchestrator.oci.manifest import OCI_MANIFEST
from orchestrator.oci.registries import Registries
from tests.hub.content import MIB, generate
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, sent
from tests.machine.machine import Machine, content
from tests.oci.manifests import artifact, cnai, entry, index, model_pack, sha256, text
from tests.oci.pushing import push, push_files
from tests.servers.registry import Answered, RedirectingFront, RegistryServer, Seen, SmallServer, TokenService, ranged

FILES = {"config.json": b"{}\n", "model.safetensors": generate(12 * MIB, 1), "part/er.bin": generate(MIB, 2)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    with Net() as net:
        yield net


@pytest.fixture
def client(server: RegistryServer, net: Net, request: pytest.FixtureRequest) -> Client:
    """A repository of the test's own."""
    name = f"team/{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
    return Client(Registries(net), Repository(server.url, name))


def ref(client: Client, revision: str = ":1.0.0") -> str:
    return f"{client.repository}{revision}"


def snapshot(machine: Machine, client: Client, commit: str) -> dict[str, bytes]:
    return snapshot_of(machine, client.repository.name, commit)


def test_a_model_is_pulled_by_its_tag_and_by_its_digest(machine: Machine, client: Client) -> None:
    digest = push_files(client, "1.0.0", model_pack(FILES), FILES)
    planned = machine.run("plan", ref(client), "--json").ended(0)
    assert planned.document["data"]["models"][0]["commit"] == digest.hex[:40]
    done = machine.run("pull", ref(client), "--json").ended(0)
    assert (done.model["ref"], done.model["commit"]) == (ref(client), digest.hex[:40])
    assert done.warnings == []
    assert snapshot(machine, client, digest.hex[:40]) == FILES
    again = machine.run("pull", ref(client, f"@{digest}"), "--json").ended(0)
    assert again.model["bytes_fetched"] == 0
    assert again.model["trust"]["level"] == "commit"


def test_the_cache_is_that_of_huggingface_hub(machine: Machine, client: Client) -> None:
    digest = push_files(client, "v1", model_pack(FILES), FILES)
    machine.run("pull", ref(client, ":v1"), "--local-dir", "here").ended(0)
    assert content(machine.work / "here") == FILES
    found = snapshot_download(client.repository.name, revision="v1", cache_dir=machine.cache, local_files_only=True)
    assert Path(found).name == digest.hex[:40]
    assert content(Path(found)) == FILES
    assert scan_cache_dir(machine.cache).warnings == []
    machine.run("verify", client.repository.name).ended(0)


def test_a_pull_goes_on_and_works_without_the_registry(machine: Machine, tmp_path: Path, net: Net) -> None:
    with RegistryServer(tmp_path / "registry") as server:
        client = Client(Registries(net), Repository(server.url, "team/model"))
        digest = push_files(client, "1.0.0", model_pack(FILES), FILES)
        blob = server.blob(sha256(FILES["model.safetensors"]))
        kept = blob.read_bytes()
        blob.unlink()
        machine.run("pull", ref(client), "--json").ended(66)
        blob.write_bytes(kept)
        done = machine.run("pull", ref(client), "--json").ended(0)
        assert done.model["bytes_fetched"] <= len(kept) + MIB
        (machine.work / "my.lock").touch()
        machine.run("pull", ref(client), "--lock", "a.lock").ended(0)
    again = machine.run("pull", ref(client), "--offline", "--json").ended(0)
    assert again.model["commit"] == digest.hex[:40]
    machine.run("pull", ref(client, f"@{digest}"), "--offline").ended(0)
    machine.run("pull", ref(client, f"@{digest.hex[:40]}"), "--offline").ended(0)
    machine.run("pull", client.repository.name, "--offline", "--json").ended(66)
    machine.run("pull", ref(client), "--json").ended(69)


def test_a_lock_has_the_whole_digest(machine: Machine, client: Client) -> None:
    digest = push_files(client, "1.0.0", model_pack(FILES), FILES)
    machine.run("pull", ref(client), "--lock", "my.lock", "--json").ended(0)
    (model,) = tomllib.loads((machine.work / "my.lock").read_text())["model"]
    assert (model["ref"], model["commit"]) == (ref(client), digest.hex[:40])
    assert model["pinned"] == ref(client, f"@{digest}")
    push_files(client, "1.0.0", model_pack({"other": b"other"}), {"other": b"other"})
    done = machine.run("pull", "--locked", "my.lock", "--force", "--json").ended(0)
    assert done.model["commit"] == digest.hex[:40]
    assert snapshot(machine, client, digest.hex[:40]) == FILES
    forged = (machine.work / "my.lock").read_text().replace(f"sha256:{digest.hex}", f"sha256:{digest.hex[:-1]}0")
    (machine.work / "my.lock").write_text(forged)
    machine.run("pull", "--locked", "my.lock", "--force", "--json")


def test_a_version_that_moves_is_told_and_a_tag_that_goes_back_refused(machine: Machine, client: Client) -> None:
    one, two = ({"config.json": content} for content in (b"1", b"2"))
    for tag in ("1.0.0", "prod"):
        push_files(client, tag, model_pack(one), one)
        machine.run("pull", ref(client, f":{tag}"), "--json").ended(0)
        push_files(client, tag, model_pack(two), two)
        moved = machine.run("pull", ref(client, f":{tag}"), "--json").ended(0)
        assert moved.warnings == (["tag-moved"] if tag == "1.0.0" else [])
    push_files(client, "prod", model_pack(one), one)
    machine.run("pull", ref(client, ":prod"), "--json").ended(81)
    machine.run("pull", ref(client, ":prod"), "--allow-rollback").ended(0)


def test_an_index_leads_to_its_model_and_is_pinned_itself(machine: Machine, client: Client) -> None:
    model = push_files(client, "inner", model_pack(FILES), FILES)
    other = push(client, "other", artifact({}))
    entries = index(
        {**entry(b"", OCI_MANIFEST), "digest": str(other), "size": len(client.manifest("other").body)},
        {
            **entry(b"", OCI_MANIFEST, artifactType=model_pack({})["artifactType"]),
            "digest": str(model),
            "size": len(client.manifest("inner").body),
        },
    )
    digest = client.put("1.0.0", text(entries), entries["mediaType"])
    done = machine.run("pull", ref(client), "--json").ended(0)
    assert done.model["commit"] == digest.hex[:40]
    machine.run("pull", ref(client, f"@{digest}"), "--json").ended(0)


@pytest.mark.parametrize(
    ("files", "code"), [([("../up", b"x")], 80), ([("a", b"x"), ("a", b"y")], 80), ([(".git/config", b"x")], 80)]
)
def test_a_manifest_that_would_write_elsewhere_is_refused(
    machine: Machine, client: Client, files: list[tuple[str, bytes]], code: int
) -> None:
    push(client, "1.0.0", model_pack(files), *(content for _, content in files))
    machine.run("pull", ref(client), "--json").ended(code)
    assert not list(machine.cache.rglob("up"))


def test_a_registry_that_lies_about_a_blob_places_nothing(machine: Machine, tmp_path: Path, net: Net) -> None:
    with RegistryServer(tmp_path / "registry") as server:
        client = Client(Registries(net), Repository(server.url, "team/model"))
        push_files(client, "1.0.0", model_pack(FILES), FILES)
        blob = server.blob(sha256(FILES["model.safetensors"]))
        altered = bytearray(blob.read_bytes())
        altered[5 * MIB] ^= 1
        blob.write_bytes(altered)
        machine.run("pull", ref(client), "--json").ended(65)
        assert not (machine.cache / "models--team--model" / "refs").exists()
        blob.write_bytes(FILES["model.safetensors"])
        machine.run("pull", ref(client), "--json").ended(0)


def test_aria2_gets_the_address_that_a_registry_redirects_to(
    machine: Machine, server: RegistryServer, client: Client
) -> None:
    digest = push_files(client, "1.0.0", model_pack(FILES), FILES)
    with RedirectingFront(server) as front:
        done = machine.run("pull", f"oci://{front.host}/{client.repository.name}:1.0.0", "--json").ended(0)
        assert done.model["commit"] == digest.hex[:40]
        assert snapshot(machine, client, digest.hex[:40]) == FILES
        assert {request.authorization for request in front.storage.seen} == {None}
        large = [one for one in front.storage.seen if sha256(FILES["model.safetensors"]) in one.path and one.range]
        assert len(large) > 1


def test_a_tag_that_moves_during_the_pull_changes_nothing(
    machine: Machine, server: RegistryServer, client: Client
) -> None:
    digest = push_files(client, "1.0.0", model_pack(FILES), FILES)
    new = {"config.json": b"moved"}
    push_files(client, "next", model_pack(new), new)

    class Moving(RedirectingFront):
        def _answer(self, request: Seen) -> Answered:
            answered = super()._answer(request)
            if "/manifests/" in request.path:
                client.put("1.0.0", client.manifest("next").body, OCI_MANIFEST)
            return answered

    with Moving(server) as front:
        done = machine.run("pull", f"oci://{front.host}/{client.repository.name}:1.0.0", "--json").ended(0)
    assert client.head("1.0.0") == client.head("next")
    assert done.model["commit"] == digest.hex[:40]
    assert snapshot(machine, client, digest.hex[:40]) == FILES


def test_a_list_of_models_of_a_registry_is_kept_true(machine: Machine, client: Client) -> None:
    one, two = ({"config.json": content} for content in (b"1", b"2"))
    (machine.work / "models.txt").write_text(f"{ref(client, ':prod')}\n")
    for files in (one, two):
        digest = push_files(client, "prod", model_pack(files), files)
        machine.run("watch", "models.txt", "--once").ended(0)
        assert snapshot(machine, client, digest.hex[:40]) == files


def origin(repo: Repo) -> dict[str, str]:
    return {
        "org.opencontainers.image.source": f"https://huggingface.co/{repo.name}",
        "org.opencontainers.image.revision": repo.head,
    }


def test_what_the_hub_has_too_comes_from_both_where_its_namespace_is_named(
    machine: Machine, make_hub: MakeHub, client: Client
) -> None:
    twin = Repo("model", "org/public", FILES)
    hub = make_hub(twin)
    digest = push_files(client, "1.0.0", model_pack(FILES, annotations=origin(twin)), FILES)
    done = machine.pull(ref(client), env={"GLM_ARIA_REGISTRY_HUB_NAMESPACES": "others,Org"}).ended(0)
    assert done.warnings == []
    assert snapshot(machine, client, digest.hex[:40]) == FILES
    assert "model.safetensors" in sent(hub)


def test_no_name_is_told_to_the_hub_by_the_word_of_a_publisher(
    machine: Machine, make_hub: MakeHub, client: Client
) -> None:
    """Its own is none in any case, and another one only where whoever pulls has named its namespace."""
    own, other = Repo("model", client.repository.name, FILES), Repo("model", "team-b/secret", FILES)
    hub = make_hub(own, other)
    cases = ((None, "*"), (own, "*"), (own, own.name.partition("/")[0]), (other, ""), (other, "org"))
    for number, (named, namespaces) in enumerate(cases):
        files = {**FILES, "config.json": b"%d" % number}
        annotations = origin(named) if named else None
        push_files(client, f"1.0.{number}", model_pack(files, annotations=annotations), files)
        env = {"GLM_ARIA_REGISTRY_HUB_NAMESPACES": namespaces} if namespaces else {}
        machine.pull(ref(client, f":1.0.{number}"), env=env).ended(0)
    hub.log.settle()
    assert hub.log.requests() == []


@pytest.mark.parametrize("make", [cnai, artifact])
def test_older_models_and_plain_artifacts_are_planned(
    machine: Machine, client: Client, make: Callable[[dict[str, bytes]], dict[str, Any]]
) -> None:
    one = {"model.gguf": FILES["part/er.bin"]}
    push_files(client, "1.0.0", make(one), one)
    planned = machine.run("plan", ref(client), "--json").ended(0).document["data"]["models"][0]
    assert [file["path"] for file in planned["files"]] == list(one)


def test_what_rotted_in_the_cache_is_repaired_from_the_registry(
    machine: Machine, make_hub: MakeHub, client: Client
) -> None:
    hub = make_hub(Repo("model", "org/other", {"a": b"1"}))
    digest = push_files(client, "1.0.0", model_pack(FILES), FILES)
    machine.pull(ref(client)).ended(0)
    for name in ("config.json", "model.safetensors"):
        blob = (machine.snapshot(f"model/{client.repository.name}", digest.hex[:40]) / name).resolve()
        blob.chmod(0o600)
        blob.write_bytes(FILES[name][:-1] + b"?")
    machine.run("verify", client.repository.name, "--root", hub.url, "--json").ended(65)
    machine.run("verify", "--repair", client.repository.name, "--root", hub.url, "--json").ended(0)
    assert snapshot(machine, client, digest.hex[:40]) == FILES
    machine.run("export", client.repository.name, "--torrent", "my.torrent", env={"GLM_ARIA_ROOT": hub.url}).ended(0)
    assert b"http" not in (machine.work / "my.torrent").read_bytes()
    shutil.rmtree(machine.hf_home)
    machine.pull(ref(client), "--dry-run", "--aria2-input", "my.txt").ended(0)
    assert client.blob_url(Digest.parse(sha256(FILES["part/er.bin"]))) in (machine.work / "my.txt").read_text()
    hub.log.settle()
    assert hub.log.requests() == [], "the Hub hears no name of a registry"


# -- logins


@pytest.fixture
def closed(machine: Machine, tmp_path: Path) -> Iterator[tuple[RegistryServer, TokenService]]:
    """A registry with tokens, at which the machine has a login, and in it a model."""
    password = machine.token
    with (
        TokenService({"ann": password}, public=("team/open",)) as service,
        RegistryServer(tmp_path / "closed", tokens=service) as server,
        Net() as net,
    ):
        login = Login("ann", password, service.realm)
        keep_login(tmp_path / "auth.json", server.host, login)
        registries = Registries(net, lambda: {server.host: login})
        for name in ("team/model", "team/open"):
            push_files(Client(registries, Repository(server.url, name)), "1.0.0", model_pack(FILES), FILES)
        service.seen.clear()
        service.issued.clear()
        yield server, service


def test_a_closed_model_comes_through_aria2_without_the_token(
    machine: Machine, closed: tuple[RegistryServer, TokenService], tmp_path: Path
) -> None:
    """The password is the canary of the machine, which must be in no file, output or command line of it."""
    server, service = closed
    env = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    ref = f"oci://{server.host}/team/model:1.0.0"
    refused = machine.run("pull", ref, "--json").ended(77)
    assert "registry login" in refused.error["hint"]
    done = machine.run("pull", ref, "--json", "--progress", "json", env=env).ended(0)
    assert snapshot_of(machine, "team/model", done.model["commit"]) == FILES
    assert {one for request in service.seen for one in request.query["scope"]} == {"repository:team/model:pull"}
    for token in service.issued:
        assert token not in done.out + done.err
        for path in machine.files():
            assert token.encode() not in path.read_bytes()
    parts = [line for line in server.log.splitlines() if " 206 " in line and sha256(FILES["model.safetensors"]) in line]
    assert len(parts) > 1, "aria2 asked at the gate for ranges"
    assert machine.run("plan", ref, "--json", env=env).ended(0).document["data"]["models"][0]["files"]


def test_a_model_that_is_open_where_tokens_are_for_all_needs_no_login(
    machine: Machine, closed: tuple[RegistryServer, TokenService]
) -> None:
    done = machine.run("pull", f"oci://{closed[0].host}/team/open:1.0.0", "--json").ended(0)
    assert snapshot_of(machine, "team/open", done.model["commit"]) == FILES


def test_a_registry_that_names_another_service_gets_no_password(
    machine: Machine, closed: tuple[RegistryServer, TokenService], tmp_path: Path
) -> None:
    _, service = closed
    challenge = {"WWW-Authenticate": f'Bearer realm="{service.realm}",service="tests-registry"'}
    with SmallServer(lambda _: Answered(401, b"", challenge)) as hostile:
        keep_login(tmp_path / "auth.json", hostile.host, Login("ann", machine.token))
        env = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
        machine.run("pull", f"oci://{hostile.host}/team/model:1", "--json", env=env).ended(77)
        assert service.seen == []
        assert {request.authorization for request in hostile.seen} == {None}


def snapshot_of(machine: Machine, name: str, commit: str) -> dict[str, bytes]:
    return content(machine.snapshot(f"model/{name}", commit))


def test_a_login_is_tried_and_kept_for_its_user_alone(
    machine: Machine, closed: tuple[RegistryServer, TokenService]
) -> None:
    server, service = closed
    words = ("registry", "login", server.host, "--user", "ann")
    machine.run(*words, stdin=f"{machine.token}\n").ended(77)
    machine.run(*words, "--realm", service.realm, stdin="wrong\n").ended(77)
    file = machine.folder / "config" / "glm-aria" / "registries.json"
    assert not file.exists()
    machine.run(*words, "--realm", service.realm, stdin=f"{machine.token}\n").ended(0)
    assert file.stat().st_mode & 0o777 == 0o600
    machine.run("pull", f"oci://{server.host}/team/model:1.0.0").ended(0)
    machine.run("registry", "logout", server.host).ended(0)
    assert machine.token not in file.read_text(), "nothing of it is left for the canary's keeper to find"
    machine.run("registry", "logout", server.host).ended(66)
    machine.run("pull", f"oci://{server.host}/team/model:1.0.0", "--force", "--json").ended(77)


def test_a_token_that_ends_early_is_renewed(machine: Machine, tmp_path: Path, net: Net) -> None:
    """A registry that forgets the first token after three requests, whatever its service said."""
    files = {f"part-{number}.safetensors": generate(MIB, number) for number in range(8)}
    with RegistryServer(tmp_path / "registry") as server:
        push_files(Client(Registries(net), Repository(server.url, "team/model")), "1", model_pack(files), files)
        uses: dict[str, int] = {}

        class Forgetful(RedirectingFront):
            def _answer(self, request: Seen) -> Answered:
                if request.path == "/token":
                    token = f"t{len(uses)}"
                    uses[token] = 0
                    return Answered(200, f'{{"token": "{token}", "expires_in": 3600}}'.encode())
                token = (request.authorization or "").removeprefix("Bearer ")
                if token not in uses or (token == "t0" and uses[token] >= 3):
                    return Answered(401, b"", {"WWW-Authenticate": f'Bearer realm="{self.url}/token",service="s"'})
                uses[token] += 1
                passed = self._passed(replace(request, authorization=None), request.method)
                return ranged(passed.body, request) if request.range else passed

        with Forgetful(server) as front:
            done = machine.run("pull", f"oci://{front.host}/team/model:1", "--json").ended(0)
        assert snapshot_of(machine, "team/model", done.model["commit"]) == files
        assert len(uses) > 1
