"""Somebody who has no key and pretends to be a peer: what it is told, and what is believed of it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.errors import NotAllowedError
from orchestrator.swarm.peers.client import PeerClient, peer_net
from tests.hub.content import MIB, generate
from tests.serve.peer.nodes import KEYS, Node, answering
from tests.serve.peer.shelf import Shelf
from tests.servers.threads import serving


@contextmanager
def relay(node: Node, host: str | None) -> Iterator[tuple[str, list[str]]]:
    """A server that passes each request on to a node, with this Host header or the one that came; its address, and all
    that it got to know."""
    known: list[str] = []

    class Relay(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            known.append(f"{self.path} {body.decode()}")
            with closing(http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)) as connection:
                headers = {"Host": host or self.headers["Host"]}
                connection.request(self.command, self.path, body or None, headers)
                found = connection.getresponse()
                data = found.read()
            known.append(data.decode("latin-1"))
            self.send_response(found.status)
            for name, text in found.getheaders():
                if name.lower() not in ("date", "server"):
                    self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815 - as http.server has it

        def log_message(self, *_: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Relay)) as server:
        yield f"http://127.0.0.1:{server.server_port}", known


@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_relay_to_a_real_peer_learns_nothing_and_is_not_believed(*, is_renamed: bool, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "blob", generate(MIB, 1))
    with (
        answering(shelf) as node,
        closing(peer_net()) as net,
        relay(node, node.to if is_renamed else None) as (address, known),
    ):
        client = PeerClient("node-1", net, KEYS)
        for ask in (
            lambda: client.whole(address, [shelf.digest]),
            lambda: client.news(address, 0, 0),
            lambda: client.pieces(address, shelf.digest, shelf.size),
        ):
            with pytest.raises(NotAllowedError):
                ask()
        url, _ = client.body(address, shelf.digest)
        assert net.ask(url).status == 403
        assert "node-0" not in "".join(known)
        # It was never asked for what is wanted before it had proven to have the key.
        assert str(shelf.digest) not in "".join(known[:2])
        assert not shelf.asked


def test_a_real_peer_is_believed(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "blob", generate(MIB, 1))
    with answering(shelf) as node, closing(peer_net()) as net:
        client = PeerClient("node-1", net, KEYS)
        assert client.whole(f"http://{node.to}", [shelf.digest]).sizes == {shelf.digest: shelf.size}
        told = client.news(f"http://{node.to}", 0, 0)
        assert told is not None
        assert told.node == "node-0"
        assert client.pieces(f"http://{node.to}", shelf.digest, shelf.size) is None
