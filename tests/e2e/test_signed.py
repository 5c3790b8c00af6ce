"""`pull --verify-signature` with the real command, docker-registry and aria2c."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from orchestrator.core.files import Digest
from orchestrator.core.registries import Repository
from orchestrator.net.session import Net
from orchestrator.oci.attached import attach
from orchestrator.oci.client import Client
from orchestrator.oci.manifest import OCI_MANIFEST, Descriptor
from orchestrator.oci.registries import Registries
from orchestrator.signatures.bundle import MEDIA_TYPE
from orchestrator.signatures.keys import PrivateKey
from orchestrator.signatures.vouching import sign
from tests.hub.content import MIB, generate
from tests.machine.machine import Machine, content
from tests.oci.manifests import model_pack
from tests.oci.pushing import push_files
from tests.servers.registry import RegistryServer
from tests.signatures.signed import digest, new_key

FILES = {"config.json": b"{}\n", ".gitattributes": b"x\n", "model.safetensors": generate(2 * MIB, 1)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def client(server: RegistryServer, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A repository of the test's own."""
    name = f"team/{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
    with Net() as net:
        yield Client(Registries(net), Repository(server.url, name))


@pytest.fixture
def key(machine: Machine) -> PrivateKey:
    """A key whose public half is the file `key.pub` of the working directory."""
    return written(machine, new_key(), "key.pub")


def written(machine: Machine, key: PrivateKey, name: str) -> PrivateKey:
    pem = key.public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (machine.work / name).write_bytes(pem)
    return key


def pushed(client: Client, files: dict[str, bytes], tag: str = "1.0.0") -> Digest:
    return push_files(client, tag, model_pack(files), files)


def signed(client: Client, manifest: Digest, files: dict[str, bytes], key: PrivateKey) -> None:
    subject = Descriptor(OCI_MANIFEST, manifest, len(client.manifest(str(manifest)).body))
    attach(client, subject, sign("m", {path: digest(data) for path, data in files.items()}, key), MEDIA_TYPE)


def placed(machine: Machine) -> list[Path]:
    return [path for path in machine.cache.rglob("*") if path.is_file() and ".glm-aria" not in path.parts]


def test_what_is_signed_is_pulled(machine: Machine, client: Client, key: PrivateKey) -> None:
    manifest = pushed(client, FILES)
    signed(client, manifest, FILES, new_key())
    signed(client, manifest, FILES, key)
    ref = f"{client.repository}:1.0.0"
    machine.run("plan", ref, "--verify-signature", "key.pub").ended(0)
    done = machine.run("pull", ref, "--verify-signature", "key.pub", "--local-dir", "here", "--json").ended(0)
    assert done.model["commit"] == manifest.hex[:40]
    assert content(machine.work / "here") == FILES
    machine.run("pull", ref, "--verify-signature", "key.pub", "--include", "*.json", "--lock", "l").ended(0)
    machine.run("pull", "--locked", "l", "--verify-signature", "key.pub").ended(0)


def test_what_is_not_signed_is_refused_before_anything_is_placed(
    machine: Machine, client: Client, key: PrivateKey
) -> None:
    ref = f"{client.repository}:1.0.0"
    manifest = pushed(client, FILES)
    told = machine.run("pull", ref, "--verify-signature", "key.pub").ended(81).err
    assert "has no signature" in told
    signed(client, manifest, FILES, new_key())
    assert "by another key" in machine.run("pull", ref, "--verify-signature", "key.pub").ended(81).err
    assert placed(machine) == []
    machine.run("pull", ref).ended(0)
    # What lies in the cache is not exempt.
    machine.run("pull", ref, "--verify-signature", "key.pub").ended(81)


def test_a_signature_of_other_files_does_not_do(machine: Machine, client: Client, key: PrivateKey) -> None:
    """Somebody moves the tag to a manifest of another file, and attaches the signature of the old one to it."""
    ref = f"{client.repository}:1.0.0"
    evil = FILES | {"config.json": b'{"evil": 1}\n'}
    signed(client, pushed(client, evil), FILES, key)
    told = machine.run("pull", ref, "--verify-signature", "key.pub").ended(81).err
    assert "'config.json' was signed with other bytes" in told
    more = FILES | {"more.py": b"import os\n"}
    signed(client, pushed(client, more), FILES, key)
    assert "'more.py' is not signed" in machine.run("pull", ref, "--verify-signature", "key.pub").ended(81).err
    assert placed(machine) == []


def test_what_the_option_cannot_mean(machine: Machine, client: Client, key: PrivateKey) -> None:
    ref = f"{client.repository}:1.0.0"
    signed(client, pushed(client, FILES), FILES, key)
    machine.run("pull", ref, "--verify-signature", "absent.pub").ended(78)
    (machine.work / "odd.pub").write_text("text")
    assert "no public key" in machine.run("pull", ref, "--verify-signature", "odd.pub").ended(78).err
    machine.run("pull", ref, "--verify-signature", "key.pub").ended(0)
    assert "--offline" in machine.run("pull", ref, "--verify-signature", "key.pub", "--offline").ended(2).err
    machine.run("pull", "http://127.0.0.1:1/x", "--sha256", "0" * 64, "--verify-signature", "key.pub").ended(2)
