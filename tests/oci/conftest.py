"""A registry for the tests of this folder, and nets that do not sleep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from orchestrator.core.registries import Repository
from orchestrator.net.session import Net
from orchestrator.oci.client import Client
from orchestrator.oci.registries import Registries
from tests.servers.registry import RegistryServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    """Seconds that the nets of this test would have slept."""
    return []


@pytest.fixture
def make_client(waits: list[float]) -> Iterator[Callable[..., Client]]:
    """Makes a client of `team/model` at a registry."""
    with ExitStack() as stack:

        def make(registry: str, name: str = "team/model", **options: Any) -> Client:
            net = stack.enter_context(Net(sleep=waits.append, roll=lambda: 1.0))
            return Client(Registries(net, **options), Repository(registry, name))

        yield make
