"""A registry for the tests of this folder, a folder to push, and what a push needs beside these."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.registries import Repository
from orchestrator.events import Event, ignore
from orchestrator.net.session import Net
from orchestrator.oci.begun import BegunUploads
from orchestrator.oci.client import Client
from orchestrator.oci.registries import Registries
from orchestrator.publishing.destinations import TagDestination
from orchestrator.publishing.push import PushReport, PushRequest, push
from orchestrator.system.signals import Stop
from tests.servers.registry import RegistryServer

FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n# A model\n",
    "config.json": b'{"model_type": "glm", "torch_dtype": "bfloat16"}',
    "model.safetensors": bytes(range(256)) * 4096,
    "tokenizer/vocab.txt": b"a\nb\n",
    "empty.txt": b"",
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@dataclass
class Pusher:
    """Pushes a folder to a repository of its own."""

    net: Net
    registry: str
    state: Path
    name: str = field(default_factory=lambda: f"team/m-{secrets.token_hex(6)}")
    stop: Stop = field(default_factory=Stop)

    @property
    def begun(self) -> BegunUploads:
        return BegunUploads(self.state, self.state / "stage")

    @property
    def client(self) -> Client:
        return self.client_of(self.name)

    def client_of(self, name: str) -> Client:
        return Client(Registries(self.net), Repository(self.registry, name))

    def push(
        self, folder: Path, tag: str = "1.0.0", *, donors: tuple[str, ...] = (), emit: Any = ignore, **wish: Any
    ) -> PushReport:
        destination = TagDestination(self.client, tag, self.begun, donors)
        return push(PushRequest(folder, **wish), destination, emit=emit, stop=self.stop)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def pusher(server: RegistryServer, tmp_path: Path) -> Iterator[Pusher]:
    state = tmp_path / "state"
    (state / "stage").mkdir(parents=True)
    with ExitStack() as stack:
        net = stack.enter_context(Net(sleep=lambda _: None, roll=lambda: 0.0))
        yield Pusher(net, server.url, state)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "model", FILES)


def kinds(events: list[Event]) -> set[str]:
    return {type(event).__name__ for event in events}
