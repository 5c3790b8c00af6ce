"""One Redis for the tests of this folder, and a scope of its own for each."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers.redis import RedisServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def scope() -> str:
    return os.urandom(8).hex()
