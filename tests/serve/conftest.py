"""A machine that serves, and users elsewhere who ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.machine.fixtures import _no_proxies, hub, machine, make_hub, repo, tiny  # noqa: F401 - fixtures
from tests.machine.machine import Machine
from tests.serve.servers import CANARY, Client, Server

Users = Callable[..., Client]


@pytest.fixture
def server(machine: Machine, hub: LoopbackHub) -> Iterator[Server]:  # noqa: F811 - the fixtures above
    """A server with an empty cache whose root is the hub. No token has reached the hub when it has ended."""
    made = Server.start(machine, "--no-mirrors", "--access-log", str(machine.home / "access.log"))
    yield made
    if made.running.process.poll() is None:
        assert CANARY not in made.shown()
        made.stop()
    assert_unseen(machine, hub)


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """Makes users of a server."""
    count = iter(range(1000))

    def make(at: Server) -> Client:
        return Client(tmp_path / f"user-{next(count)}", at.url)

    return make


def assert_unseen(machine: Machine, hub: LoopbackHub, *others: str) -> None:  # noqa: F811
    """Neither the operator's token nor a client's, nor `others`, is in a request to the hub, an output or a file."""
    assert hub.log.tokens() == set()
    assert_secret(machine, hub, CANARY, *others)


def assert_secret(machine: Machine, hub: LoopbackHub, *tokens: str) -> None:  # noqa: F811
    """None of these tokens is in a request to the hub, in an output or in a file."""
    for token in tokens:
        assert not any(token in str(seen.headers) + seen.query + seen.path for seen in hub.log.requests())
        assert not any(token in result.out + result.err for result in machine.results)
        for path in machine.files():
            assert token.encode() not in path.read_bytes(), f"a client's token is in {path}"
