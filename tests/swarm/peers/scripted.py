"""A peer that answers as a test says, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.threads import serving

Reply = tuple[int, Mapping[str, str], bytes]


@dataclass
class ScriptedPeer:
    """The address of a server for blobs, and its answer to each request for one."""

    address: str = ""
    reply: Reply = (404, {}, b"")
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def scripted_peer() -> Iterator[ScriptedPeer]:
    """A server on loopback that ends with the context."""
    peer = ScriptedPeer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            peer.asked.append((self.command, self.path, dict(self.headers)))
            status, headers, body = peer.reply
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            """Keep quiet."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        peer.address = f"http://127.0.0.1:{server.server_port}"
        yield peer
