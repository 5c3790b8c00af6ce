"""Where the scheduler of a place is to listen."""

import socket
from collections.abc import Iterator

import pytest

from orchestrator.app.fleet.control import own_place
from tests.servers.ports import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_place_of_this_machine_is_listened_at() -> None:
    place = f"127.0.0.1:{free_port()}"
    assert own_place(place) == place


def test_a_place_where_somebody_listens_is_not(taken: int) -> None:
    assert own_place(f"127.0.0.1:{taken}") is None


def test_a_place_of_another_machine_is_not() -> None:
    assert own_place("192.0.2.1:8091") is None


def test_the_own_name_is_listened_at_where_others_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.1.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: found)
    port = free_port()
    assert own_place(f"head:{port}") == f"0.0.0.0:{port}"
