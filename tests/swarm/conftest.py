"""One Redis for the tests of a swarm, and a fleet of its own for each; both kinds of boards for what holds of any."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from orchestrator.swarm.board.interface import FleetBoard
from orchestrator.swarm.board.memory import MemoryBoard
from orchestrator.swarm.board.redis import RedisBoard
from tests.servers.redis import RedisServer
from tests.swarm.board.keys import KEYS


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def fleet() -> str:
    return os.urandom(8).hex()


@pytest.fixture(params=["memory", "redis"])
def another(request: pytest.FixtureRequest, fleet: str) -> Iterator[Callable[[], FleetBoard]]:
    """Makes boards of schedulers of one fleet."""
    made: list[FleetBoard] = []
    first = MemoryBoard()

    def make() -> FleetBoard:
        if request.param == "memory":
            made.append(first.beside())
        else:
            made.append(RedisBoard(request.getfixturevalue("server").url, fleet, KEYS))
        return made[-1]

    yield make
    for board in made:
        board.close()
