"""The gate for aria2: who may come through, and that the token stays on this side of it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from orchestrator.errors import TemporaryError
from orchestrator.mirrors.gate import LoopbackGate
from orchestrator.net.addresses import place
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from tests.servers.registry import Answered, Seen, SmallServer, ranged

BODY = bytes(range(256)) * 1000
TOKEN = "canary"


def answer(request: Seen) -> Answered:
    if request.authorization != f"Bearer {TOKEN}":
        return Answered(401)
    return ranged(BODY, request)


@pytest.fixture
def site() -> Iterator[SmallServer]:
    with SmallServer(answer) as site:
        yield site


@pytest.fixture
def net(site: SmallServer) -> Iterator[Net]:
    with Net(Credentials(TOKEN, frozenset({place(site.url)}))) as net:
        yield net


@pytest.fixture
def gate() -> Iterator[LoopbackGate]:
    with LoopbackGate() as gate:
        yield gate


def get(url: str, first: int | None = None, last: int | None = None) -> tuple[int, bytes, str | None]:
    parts = urlsplit(url)
    line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        line.request("GET", parts.path, headers={} if first is None else {"Range": f"bytes={first}-{last}"})
        found = line.getresponse()
        return found.status, found.read(), found.headers["Content-Range"]
    finally:
        line.close()


def test_bytes_come_through_with_the_token_that_the_asker_does_not_have(
    gate: LoopbackGate, net: Net, site: SmallServer
) -> None:
    address = gate.address(f"{site.url}/blob", site.url, lambda: net)
    assert TOKEN not in address
    assert get(address, 1000, 4999) == (206, BODY[1000:5000], f"bytes 1000-4999/{len(BODY)}")
    assert get(address) == (200, BODY, None)


def test_a_connection_serves_several_ranges(gate: LoopbackGate, net: Net, site: SmallServer) -> None:
    parts = urlsplit(gate.address(f"{site.url}/blob", site.url, lambda: net))
    line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    for start in (0, 100, 200):
        line.request("GET", parts.path, headers={"Range": f"bytes={start}-{start + 9}"})
        assert line.getresponse().read() == BODY[start : start + 10]
        assert line.sock is not None
    line.close()


def test_an_address_that_nobody_was_given_leads_nowhere(gate: LoopbackGate, net: Net, site: SmallServer) -> None:
    address = gate.address(f"{site.url}/blob", site.url, lambda: net)
    for path in ("/", "/x", "/../blob", f"/{'A' * 32}"):
        assert get(address.rpartition("/")[0] + path)[0] == 404
    assert site.seen == []


def test_the_way_to_the_site_is_asked_for_each_time(gate: LoopbackGate, net: Net, site: SmallServer) -> None:
    asked: list[int] = []

    def way() -> Net:
        asked.append(1)
        return net

    address = gate.address(f"{site.url}/blob", site.url, way)
    get(address)
    get(address)
    assert len(asked) == 2


def test_what_the_site_refuses_is_refused(gate: LoopbackGate, site: SmallServer) -> None:
    with Net() as stranger:
        assert get(gate.address(f"{site.url}/blob", site.url, lambda: stranger))[0] == 401

    def busy() -> Net:
        raise TemporaryError("later")

    assert get(gate.address(f"{site.url}/blob", site.url, busy))[0] == 503


def test_a_gate_that_is_closed_lets_nobody_through(net: Net, site: SmallServer) -> None:
    with LoopbackGate() as gate:
        address = gate.address(f"{site.url}/blob", site.url, lambda: net)
        assert get(address)[0] == 200
    with pytest.raises(ConnectionError):
        get(address)


def test_a_gate_that_nobody_needs_does_not_listen() -> None:
    with LoopbackGate() as gate:
        assert gate._server is None


def test_a_token_that_ended_early_is_renewed_once(gate: LoopbackGate, net: Net, site: SmallServer) -> None:
    with Net() as ended:
        nets = [ended, net]
        assert get(gate.address(f"{site.url}/blob", site.url, lambda: nets[0], lambda: bool(nets.pop(0))))[0] == 200
        asked = len(site.seen)
        assert get(gate.address(f"{site.url}/blob", site.url, lambda: ended, lambda: True))[0] == 401
        assert len(site.seen) == asked + 2
