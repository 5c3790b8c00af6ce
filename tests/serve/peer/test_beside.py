"""`glm-aria serve` as a node of a fleet: peers and clients at one address."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from orchestrator.core.files import Algorithm, Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm import wire
from orchestrator.swarm.peers.client import PeerClient, peer_net
from tests.hub.certificates import make_certificate
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, until
from tests.serve.access.tokens import NewTokens
from tests.serve.peer.nodes import CANARY, KEYS, Node, Seen
from tests.serve.peer.test_strangers import assert_nothing
from tests.serve.servers import Server

BIG = "big.safetensors"
FILES: dict[str, Any] = {"config.json": b"{}", BIG: generate(4 * PIECE, 7)}
SECRET = generate(PIECE, 8)
EARLY = "huggingface-cli/2.4.0; hf_hub/2.4.0; python/3.11.2"
"""The User-Agent of a client that has bytes before their proof."""
KEY = {"GLM_ARIA_FLEET_KEY": CANARY}


def digest_of(data: bytes) -> Digest:
    return Digest(Algorithm.SHA256, hashlib.sha256(data).hexdigest())


@pytest.fixture
def repo() -> Repo:
    return Repo("model", "org/m", FILES)


@pytest.fixture
def server(machine: Machine, hub: LoopbackHub) -> Iterator[Server]:
    """A node of a fleet with an empty cache. The key is nowhere when it has ended."""
    made = Server.start(machine, "--no-mirrors", "--access-log", str(machine.home / "access.log"), env=KEY)
    yield made
    assert CANARY not in made.shown()
    made.stop()
    assert not any(CANARY in result.out + result.err for result in machine.results)
    assert not any(CANARY.encode() in path.read_bytes() for path in machine.files())
    assert not any(CANARY in str(seen.headers) + seen.query for seen in hub.log.requests())


def node(server: Server) -> Node:
    return Node(urlsplit(server.url).port or 0, Seen(), [])


def fetched(hub: LoopbackHub) -> int:
    hub.log.settle()
    return len([seen for seen in hub.log.requests(method="GET") if seen.file is not None])


def test_a_peer_gets_what_is_in_the_cache_and_causes_no_fetch(server: Server, hub: LoopbackHub) -> None:
    big, peer = digest_of(FILES[BIG]), node(server)
    assert peer.range(big, "bytes=0-5").status == 416
    assert fetched(hub) == 0
    assert requests.get(f"{server.url}/org/m/resolve/main/{BIG}", timeout=60).content == FILES[BIG]
    count = fetched(hub)
    assert until(lambda: peer.ask(str(big)).body == FILES[BIG])
    assert peer.range(big, f"bytes={PIECE}-{PIECE + 9}").body == FILES[BIG][PIECE : PIECE + 10]
    found = wire.parse_answer(peer.ask("have", method="POST", body=wire.render_question([big])).body)
    assert found.sizes == {big: len(FILES[BIG])}
    assert peer.ask(f"{big}/pieces").body.startswith(b"GAP1")
    assert fetched(hub) == count
    # It is counted as what it is.
    text = requests.get(f"{server.url}/metrics", timeout=20).text
    (line,) = [
        line for line in text.splitlines() if line.startswith('glm_aria_bytes_total{direction="out",source="peers"}')
    ]
    assert float(line.split()[-1]) >= len(FILES[BIG]) + 10


def test_a_peer_gets_pieces_while_the_rest_arrives(server: Server, hub: LoopbackHub) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=4e6)
    big, peer = digest_of(FILES[BIG]), node(server)
    address = f"{server.url}/org/m/resolve/main/{BIG}"
    with requests.get(address, headers={"User-Agent": EARLY}, timeout=60, stream=True) as client:
        told = wire.parse_news(peer.ask("have").body)
        pieces = _pieces_of(big, told)
        while not pieces:
            answer = peer.ask(f"have?after={told.news.version}&epoch={told.epoch}")
            assert answer.status == 200
            told = wire.parse_news(answer.body)
            pieces = _pieces_of(big, told)
        assert len(pieces) < 4
        at = min(pieces) * PIECE
        got = peer.range(big, f"bytes={at}-{at + PIECE - 1}")
        assert (got.status, got.body) == (206, FILES[BIG][at : at + PIECE])
        hub.faces["cdn"].shape = Shape()
        assert client.raw.read() == FILES[BIG]
    hub.log.settle()
    assert sum(seen.bytes_sent for seen in hub.log.requests(method="GET") if seen.file == BIG) <= 1.3 * len(FILES[BIG])


def _pieces_of(digest: Digest, told: wire.NodeNews) -> set[int]:
    return {piece for held in told.news.holdings if held.digest == digest for piece in held.checked}


def test_a_stranger_gets_what_clients_get_and_no_more(server: Server) -> None:
    peer = node(server)
    assert_nothing(peer.ask("have", ticket=""))
    assert_nothing(peer.get("/peer/v1/"))
    # The other faces have their door as before.
    assert peer.get("/org/m/resolve/main/config.json").body == b"{}"
    assert peer.get("/api/models/org/m", headers={"Host": "evil.example"}).status == 421
    assert_nothing(peer.ask("about", headers={"Host": "evil.example"}))


def test_a_peer_has_no_right_at_other_faces(server: Server) -> None:
    shown = node(server).get("/api/admin/state?n=node-1&e=1&t=x")
    assert shown.status in (401, 403)


def test_what_is_closed_is_shared_only_when_that_is_said(make_hub: MakeHub, machine: Machine) -> None:
    closed = Repo("model", "team/gated", {"model.safetensors": SECRET}, gated="manual")
    make_hub(closed, tokens={machine.token: {closed.name}})
    token = NewTokens(machine).make("in", "--restricted")
    for share, status in (("0", 416), ("1", 200)):
        more = {**KEY, "GLM_ARIA_FLEET_SHARE_RESTRICTED": share}
        server = Server.start(machine, "--no-mirrors", "--gated", "right", env=more)
        address = f"{server.url}/team/gated/resolve/main/model.safetensors"
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.get(address, headers=headers, timeout=60).content == SECRET
        peer = node(server)
        if share == "1":
            assert until(lambda at=peer: at.ask(str(digest_of(SECRET))).status == 200)  # type: ignore[misc]
        assert peer.ask(str(digest_of(SECRET))).status == status
        question = wire.render_question([digest_of(SECRET)])
        told = wire.parse_answer(peer.ask("have", method="POST", body=question).body).sizes
        assert bool(told) is (share == "1")
        server.stop()


def test_a_key_that_is_none_is_told_before_anybody_is_served(machine: Machine, hub: LoopbackHub) -> None:
    done = machine.run("serve", "--root", hub.url, "--listen", "127.0.0.1:0", env={"GLM_ARIA_FLEET_KEY": "short"})
    assert done.ended(78)
    assert "glm-aria fleet key" in done.err


def test_a_peer_is_asked_over_tls(machine: Machine, hub: LoopbackHub, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    make_certificate(folder)
    believed = str(folder / "cert.pem")
    server = Server.start(machine, "--no-mirrors", "--cert", believed, "--key", str(folder / "key.pem"), env=KEY)
    assert requests.get(f"{server.url}/org/m/resolve/main/{BIG}", timeout=60, verify=believed).content == FILES[BIG]
    big = digest_of(FILES[BIG])
    with closing(peer_net(Path(believed))) as net:
        client = PeerClient("node-1", net, KEYS)
        assert until(lambda: big in client.whole(server.url, [big]).sizes)
        address, _ = client.body(server.url, big)
        assert requests.get(address, timeout=60, verify=believed).content == FILES[BIG]
        words = ("aria2c", "--no-conf", "-q", f"--ca-certificate={believed}", "-d", str(tmp_path), "-o", "got", address)
        subprocess.run(words, check=True, timeout=60)
    assert (tmp_path / "got").read_bytes() == FILES[BIG]
    server.stop()
