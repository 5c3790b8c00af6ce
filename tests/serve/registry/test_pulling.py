"""`glm-aria pull reg://` against the real server: another machine with a token of a reader."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from tests.hub.content import MIB, generate
from tests.machine.fixtures import a_machine
from tests.machine.machine import Machine, content
from tests.serve.registry.house import RegistryHouse, registry_house

OLD = {"config.json": b"{}\n", "model.safetensors": generate(4 * MIB, 1)}
NEW = {**OLD, "config.json": b'{"new": 1}\n'}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryHouse]:
    with registry_house(tmp_path_factory.mktemp("pulling")) as house:
        house.person("boss", "--role", "admin")
        house.person("reader", "--role", "reader", "--namespace", "team")
        house.person("stranger", "--role", "reader", "--namespace", "other")
        yield house


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Machine]:
    yield from a_machine(tmp_path / "reader")


def env(house: RegistryHouse, who: str) -> dict[str, str]:
    return {"GLM_ARIA_REGISTRY": house.server.url, "GLM_ARIA_REGISTRY_TOKEN": house.tokens[who]}


def test_a_range_an_alias_and_a_digest_are_pulled_locked_and_replayed(house: RegistryHouse, reader: Machine) -> None:
    digests = {
        version: house.publish("boss", "team/m", version, files) for version, files in (("1.2.3", OLD), ("1.2.4", NEW))
    }
    assert house.call("boss", "PUT", "/team/m/aliases/prod", {"version": "1.2.3"}, If_None_Match="*").status < 300
    given = env(house, "reader")
    wanted = {"^1.2": "1.2.4", "prod": "1.2.3", "1.2.3": "1.2.3", "*": "1.2.4", digests["1.2.4"]: "1.2.4"}
    for revision, version in wanted.items():
        done = reader.run("pull", f"reg://team/m@{revision}", "--json", env=given).ended(0)
        commit = digests[version].partition(":")[2][:40]
        assert (done.model["commit"], done.model["version"]) == (commit, version)
        assert content(reader.snapshot("model/team/m", commit)) == (NEW if version == "1.2.4" else OLD)
    reader.run("pull", "reg://team/m@prod", "--lock", "my.lock", env=given).ended(0)
    (model,) = tomllib.loads((reader.work / "my.lock").read_text())["model"]
    assert model["pinned"] == f"oci://{house.below.host}/team/m@{digests['1.2.3']}"
    reader.run("pull", "--locked", "my.lock", "--force", env=given).ended(0)
    assert reader.run("pull", "reg://team/m@prod", "--offline", "--json").ended(0).model["version"] == "1.2.3"
    (planned,) = reader.run("plan", "reg://team/m@^1.2", "--json", env=given).ended(0).document["data"]["models"]
    assert planned["version"] == "1.2.4"
    (reader.work / "models.txt").write_text("reg://team/m@~1.2\n")
    told = reader.run("watch", "models.txt", "--once", env=given).ended(0).err
    assert f"reg://team/m@~1.2: now 1.2.4 (commit {digests['1.2.4'][7:19]})" in told
    told = reader.run("pull", "reg://team/m@prod", env=given).ended(0).err
    assert f"version 1.2.3, commit {digests['1.2.3'][7:47]}, every digest from its registry" in told
    for path in reader.files():
        assert house.tokens["reader"].encode() not in path.read_bytes()
    assert house.tokens["reader"] not in house.below.log


def test_who_may_not_read_gets_nothing(house: RegistryHouse, reader: Machine) -> None:
    house.publish("boss", "team/closed", "1.0.0", OLD)
    refused = reader.run("pull", "reg://team/closed@1.0.0", "--json", env=env(house, "stranger"))
    assert refused.code in (66, 77)
    by_registry = reader.run(
        "pull", f"oci://{house.below.host}/team/closed:1.0.0", "--json", env=env(house, "stranger")
    )
    by_registry.ended(77)
    assert not list(reader.cache.glob("models--team--closed/blobs/*"))


NAMES = ("main", "^1.2", "~1.2.3", ">=1.2 <2", "1.2 - 1.4", "1.x", "1 || 2", "*", "1.2.4", "prod")


def test_each_name_that_was_pulled_is_found_offline_verified_and_kept(house: RegistryHouse, reader: Machine) -> None:
    given = env(house, "reader")
    house.publish("boss", "team/named", "1.2.3", OLD)
    assert house.call("boss", "PUT", "/team/named/aliases/prod", {"version": "1.2.3"}, If_None_Match="*").status < 300
    reader.run("pull", "reg://team/named@prod", env=given).ended(0)
    digest = house.publish("boss", "team/named", "1.2.4", NEW)
    refs = [f"reg://team/named@{name}" for name in NAMES if name not in ("main", "prod")]
    reader.run("pull", "reg://team/named", env=given).ended(0)
    reader.run("pull", *refs, env=given).ended(0)
    # The same content by the name of another catalog is complete already, and has its refs: it is known by that, too.
    place = f"oci://{house.below.host}/team/named:1.2.4"
    login = ("registry", "login", house.below.host, "--realm", f"{house.server.url}/registry/token")
    reader.run(*login, stdin=house.tokens["reader"]).ended(0)
    reader.run("pull", place).ended(0)
    reader.run("pull", *refs, "reg://team/named", "reg://team/named@prod", place, "--offline").ended(0)
    reader.run("verify", *refs, "reg://team/named@prod", place).ended(0)
    assert "no ref names it" not in reader.run("cache", "gc").ended(0).out
    snapshot = reader.snapshot("model/team/named", digest.partition(":")[2][:40])
    for name in NAMES:
        found = snapshot_download("team/named", revision=name, cache_dir=reader.cache, local_files_only=True)
        assert (Path(found) == snapshot) is (name != "prod")


def test_a_model_that_is_here_is_mended_measured_and_described(house: RegistryHouse, reader: Machine) -> None:
    given = env(house, "reader")
    digest = house.publish("boss", "team/kept", "1.0.0", OLD)
    reader.run("pull", "reg://team/kept@1.0.0", env=given).ended(0)
    commit = digest.partition(":")[2][:40]
    blob = (reader.snapshot("model/team/kept", commit) / "model.safetensors").resolve()
    for hurt in (blob.read_bytes()[:MIB] + bytes(MIB) + blob.read_bytes()[2 * MIB :], b"nothing of it"):
        blob.chmod(0o644)
        blob.write_bytes(hurt)
        reader.run("verify", "team/kept", env=given).ended(65)
        # The record of the pull names the registry. The server says that it is its own, and gives the token for it.
        reader.run("verify", "team/kept", "--repair", env=given).ended(0)
        assert blob.read_bytes() == OLD["model.safetensors"]
    usual = ("--root", house.hub.url, "--no-mirrors", "--json")
    place = f"oci://{house.below.host}"
    probed = reader.run("mirrors", "probe", "reg://team/kept@^1", *usual, env=given).ended(0).document["data"]
    assert (probed["commit"], probed["reference"], probed["file"]) == (commit, place, "model.safetensors")
    examined = reader.run("doctor", "reg://team/kept@^1", *usual, env=given).document["data"]
    for found in (probed, examined):
        (row,) = [source for source in found["sources"] if source["name"] == place]
        assert (row["commit"], row["error"], row["ranges"]) == ("fresh", None, True)
        assert row.get("rate_one", 0) or row["rates"]
    assert not [seen for seen in house.hub.log.requests() if "kept" in seen.path]
    reader.run("export", "reg://team/kept@1.0.0", "--metalink", "kept.meta4", env=given).ended(77)
    reader.run("export", "reg://team/kept@1.0.0", "--metalink", "kept.meta4", "--closed", env=given).ended(0)
    described = (reader.work / "kept.meta4").read_text()
    assert house.below.host not in described
    reader.run("cache", "pin", "reg://team/kept@1.0.0").ended(0)
    assert "team/kept" in reader.run("cache", "ls").ended(0).out
    reader.run("cache", "rm", "reg://team/kept@1.0.0", "--yes").ended(80)
    reader.run("cache", "unpin", "reg://team/kept@1.0.0").ended(0)
    reader.run("cache", "rm", "reg://team/kept@1.0.0", "--yes").ended(0)
    for path in reader.files():
        assert house.tokens["reader"].encode() not in path.read_bytes()


def test_who_runs_the_server_needs_no_login_there(house: RegistryHouse, tmp_path: Path) -> None:
    house.publish("boss", "team/own", "1.2.3", OLD)
    url, (name, port) = house.server.url, house.server.url.rpartition("//")[2].split(":")
    assert name == "127.0.0.1"
    for number, given in enumerate(({}, {"GLM_ARIA_REGISTRY": url}, {"GLM_ARIA_REGISTRY": f"http://localhost:{port}"})):
        done = house.machine.run("pull", "reg://team/own:1.2.3", "--json", env=given).ended(0)
        assert done.model["version"] == "1.2.3"
        (tmp_path / "config.json").write_text(f'{{"number": {number}}}')
        house.machine.run("push", str(tmp_path), f"reg://team/own:1.3.{number}", env=given).ended(0)
    refused = house.machine.run("pull", "reg://team/own@^9", "reg://team/owm", "--json").ended(66).document
    messages = [f"{error['message']} {error['hint']}" for error in refused["errors"]]
    assert "it has 1.3.2, 1.3.1, 1.3.0, 1.2.3" in messages[0]
    assert "team/owm" in messages[1]
