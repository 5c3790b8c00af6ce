"""`glm-aria push` to a registry of models, as a process."""

from __future__ import annotations

import hashlib
import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from orchestrator.core.files import Digest
from orchestrator.publishing.uploads import chunk_of
from tests.serve.registry.house import RegistryHouse, registry_house
from tests.signatures.signed import new_key

MIB = 1 << 20
FILES = {"config.json": b'{"model_type": "glm"}', "README.md": b"# A model\n", "a/model.safetensors": bytes(3 * MIB)}
UPLOADS_AT_ONCE = 4


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryHouse]:
    with registry_house(tmp_path_factory.mktemp("push")) as house:
        house.person("alice", "--role", "publisher", "--namespace", "team")
        house.person("ann", "--role", "publisher")
        house.person("carol", "--role", "promoter")
        house.person("rob", "--role", "reader")
        yield house


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "model", FILES)


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def environment(house: RegistryHouse, who: str) -> dict[str, str]:
    return {"GLM_ARIA_REGISTRY": house.server.url, "GLM_ARIA_REGISTRY_TOKEN": house.tokens[who]}


def test_what_one_pushes_another_pulls(house: RegistryHouse, folder: Path, tmp_path: Path) -> None:
    pushed = house.machine.run(
        "push", str(folder), "reg://team/first:1.0.0", "--json", env=environment(house, "alice")
    ).ended(0)
    data = pushed.document["data"]
    assert (data["sent"], data["was_there"]) == (sum(map(len, FILES.values())), False)
    place = tmp_path / "pulled"
    pulled = house.machine.run(
        *("pull", "reg://team/first@^1.0", "--json", "--no-mirrors", "--local-dir", str(place)),
        env=environment(house, "rob"),
    ).ended(0)
    assert pulled.model["commit"] == data["commit"] == data["digest"][7:47]
    assert {path: (place / path).read_bytes() for path in FILES} == FILES


def test_a_snapshot_of_the_registry_is_named_as_nothing_of_the_hub(house: RegistryHouse, tmp_path: Path) -> None:
    """`hf download` from this server leaves the same folders as one from the Hub."""
    house.publish("ann", "other/known", "1.0.0", FILES)
    commit = "1" * 40
    told = {}
    for number, name in enumerate(("team/first", "other/known", "org/public")):
        place = tmp_path / f"models--{name.replace('/', '--')}" / "snapshots" / commit
        written(place, FILES)
        pushed = house.machine.run(
            "push", str(place), f"reg://team/of-{number}:1.0.0", "--json", env=environment(house, "ann")
        ).ended(0)
        body = house.client("ann", f"team/of-{number}").manifest(pushed.document["data"]["digest"]).body
        told[name] = json.loads(body)["annotations"].get("org.opencontainers.image.source")
    assert told == {"team/first": None, "other/known": None, "org/public": "https://huggingface.co/org/public"}


def test_what_one_signs_another_verifies(house: RegistryHouse, folder: Path, tmp_path: Path) -> None:
    alice, rob = environment(house, "alice"), environment(house, "rob")
    for name in ("mine", "other"):
        key = new_key()
        private = key.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{name}.key").write_bytes(private)
        public = key.public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pub").write_bytes(public)
    push, pull = ("push", str(folder), "reg://team/signed:1.0.0"), ("pull", "reg://team/signed@^1", "--no-mirrors")
    verify = ("--verify-signature", str(tmp_path / "mine.pub"))
    house.machine.run(*push, env=alice).ended(0)
    assert b"<td>none</td>" in house.ask("rob", "GET", "/-/registry/team/signed").value
    assert "has no signature" in house.machine.run(*pull, *verify, env=rob).ended(81).err
    house.machine.run(*push, "--sign", str(tmp_path / "other.key"), env=alice).ended(0)
    assert "by another key" in house.machine.run(*pull, *verify, env=rob).ended(81).err
    for _ in range(2):
        signed = house.machine.run(*push, "--sign", str(tmp_path / "mine.key"), "--json", env=alice).ended(0)
        data = signed.document["data"]
        assert (data["was_there"], data["sent"], data["signed_by"]) == (True, 0, str(tmp_path / "mine.key"))
    done = house.machine.run(*pull, *verify, "--json", env=rob).ended(0)
    assert done.model["signed_by"] == str(tmp_path / "mine.pub")
    assert "signed by the key" in house.machine.run("plan", *pull[1:], *verify, env=rob).ended(0).out
    house.machine.run(*push, "--sign", str(tmp_path / "mine.pub"), env=alice).ended(78)
    assert house.call("rob", "GET", "/team/signed/versions").value["aliases"] == []
    assert len(house.client("rob", "team/signed").referrers(Digest.parse(data["digest"])).manifests) == 2
    # Who signed is in the trail, and that it is signed on the page, which had shown it as unsigned.
    events = house.call("rob", "GET", "/team/signed/events").value["events"]
    assert [(event["who"], event["deed"], event["name"]) for event in events[-2:]] == [("alice", "sign", "1.0.0")] * 2
    assert b'<td class="ok">signed</td>' in house.ask("rob", "GET", "/-/registry/team/signed").value


def test_the_next_version_sends_only_what_changed(house: RegistryHouse, folder: Path) -> None:
    alice = environment(house, "alice")
    house.machine.run("push", str(folder), "reg://team/next:1.0.0", env=alice).ended(0)
    written(folder, {"config.json": b'{"changed": true}'})
    planned = house.machine.run("push", str(folder), "reg://team/next:1.1.0", "--dry-run", "--json", env=alice)
    fates = {file["path"]: file["fate"] for file in planned.ended(0).document["data"]["files"]}
    assert fates == {path: "bring" if path == "config.json" else "keep" for path in FILES}
    assert [one["version"] for one in house.call("rob", "GET", "/team/next/versions").value["versions"]] == ["1.0.0"]
    pushed = house.machine.run("push", str(folder), "reg://team/next:1.1.0", "--json", env=alice).ended(0)
    assert pushed.document["data"]["sent"] == len(b'{"changed": true}')
    again = house.machine.run("push", str(folder), "reg://team/next:1.1.0", "--json", env=alice).ended(0)
    assert (again.document["data"]["sent"], again.document["data"]["was_there"]) == (0, True)


def test_a_version_stays_what_it_is_and_an_alias_needs_the_right(house: RegistryHouse, folder: Path) -> None:
    alice = environment(house, "alice")
    first = house.machine.run("push", str(folder), "reg://team/kept:1.0.0", "--json", env=alice).ended(0)
    written(folder, {"config.json": b"{}"})
    refused = house.machine.run("push", str(folder), "reg://team/kept:1.0.0", "--json", env=alice).ended(80)
    assert "never changes" in refused.error["message"]
    for who in ("rob", "carol"):
        assert house.machine.run("push", str(folder), "reg://team/kept:1.0.1", env=environment(house, who)).code == 77
    assert house.machine.run("push", str(folder), "reg://other/kept:1.0.0", env=alice).code == 77
    for alias, code in (("prod", 77), ("1.x", 2), ("1.0.0", 2), ("a/b", 2)):
        for more in ((), ("--dry-run",)):
            words = ("push", str(folder), "reg://team/kept:1.0.1", "--alias", alias, *more)
            house.machine.run(*words, env=alice).ended(code)
    (found,) = house.call("rob", "GET", "/team/kept/versions").value["versions"]
    assert (found["version"], found["digest"]) == ("1.0.0", first.document["data"]["digest"])


def test_a_build_is_a_version_of_its_own(house: RegistryHouse, folder: Path) -> None:
    alice = environment(house, "alice")
    pushed: dict[str, str] = {}
    for version in ("1.0.0", "1.0.0+gguf"):
        written(folder, {"which.txt": version.encode()})
        for was_there in (False, True):
            words = ("push", str(folder), f"reg://team/built:{version}", "--json")
            data = house.machine.run(*words, env=alice).ended(0).document["data"]
            assert data["was_there"] is was_there
        pushed[version] = data["digest"]
    found = house.call("rob", "GET", "/team/built/versions").value["versions"]
    assert {one["version"]: one["digest"] for one in found} == pushed


def test_a_push_that_is_killed_at_half_costs_a_tenth_at_most(house: RegistryHouse, tmp_path: Path) -> None:
    rng = random.Random(7)
    files = {f"model-{number}.safetensors": rng.randbytes(16 * MIB) for number in range(4)}
    folder, size = written(tmp_path / "model", files), 64 * MIB
    target, env = "reg://team/killed:1.0.0", environment(house, "alice")
    running = house.machine.start("push", str(folder), target, "--progress", "json", env=env)
    done: dict[str, int] = {}
    assert running.process.stderr is not None
    for line in running.process.stderr:
        event = json.loads(line)
        if event["event"] == "progress" and event["phase"] == "fetching":
            done[event["file"]] = event["done"]
            if sum(done.values()) >= size // 2:
                running.signal(signal.SIGKILL)
                break
    assert running.end().code == -signal.SIGKILL
    again = house.machine.run("push", str(folder), target, "--json", env=env).ended(0)
    most_before = sum(done.values()) + UPLOADS_AT_ONCE * chunk_of(size)
    assert most_before + again.document["data"]["sent"] <= 1.1 * size
    manifest = house.client("rob", "team/killed").manifest("1.0.0")
    listed = {layer["digest"] for layer in json.loads(manifest.body)["layers"]}
    assert listed == {f"sha256:{hashlib.sha256(content).hexdigest()}" for content in files.values()}
