"""A forward proxy on loopback that reaches this machine whatever a host is called: so any name can be served.

It speaks plain http with whole addresses, and CONNECT for tunnels. It may ask for a login, refuse, and be slow.
"""

from __future__ import annotations

import base64
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.servers.threads import serving

_CHUNK = 64 * 1024


@dataclass
class Manners:
    """How a proxy behaves; may be changed while it serves.

    `login` is `user:password` as it is said, None for everybody. `status` answers all requests, for the hosts of
    `refuses` only if there are some. `rate` is bytes per second for each connection.
    """

    login: str | None = None
    status: int | None = None
    refuses: frozenset[str] = frozenset()
    rate: float | None = None


@dataclass
class Traffic:
    """What was asked: (method, host, user agent) of each request; the bytes sent back, by host; the logins given."""

    asked: list[tuple[str, str | None, str]] = field(default_factory=list)
    bytes_back: dict[str, int] = field(default_factory=dict)
    logins: set[str] = field(default_factory=set)


class ForwardProxy(http.server.ThreadingHTTPServer):
    """`asked` holds (method, host, user agent) of each request that was let through."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, manners: Manners) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.manners = manners
        self.traffic = Traffic()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def asked(self) -> list[tuple[str, str | None, str]]:
        return self.traffic.asked

    @property
    def hosts(self) -> set[str | None]:
        return {host for _, host, _ in self.asked}

    def note(self, host: str, count: int) -> None:
        with self._lock:
            self.traffic.bytes_back[host] = self.traffic.bytes_back.get(host, 0) + count

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


class _Forward(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ForwardProxy

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if not self._is_welcome(parts.hostname):
            return
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        with closing(HTTPConnection("127.0.0.1", parts.port or 80, timeout=20)) as upstream:
            upstream.request(
                self.command, f"{parts.path}?{parts.query}" if parts.query else parts.path, headers=headers
            )
            with upstream.getresponse() as answer:
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    while chunk := answer.read(_CHUNK):
                        self._back(parts.hostname or "", chunk, self.wfile.write)

    do_HEAD = do_GET  # noqa: N815

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        if not self._is_welcome(host):
            return
        with socket.create_connection(("127.0.0.1", int(port)), 20) as upstream:
            self.send_response_only(200)
            self.end_headers()
            forth = threading.Thread(target=self._forth, args=(upstream,), daemon=True)
            forth.start()
            with suppress(OSError):
                while chunk := upstream.recv(_CHUNK):
                    self._back(host, chunk, self.connection.sendall)
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            forth.join(20)
        self.close_connection = True

    def _forth(self, upstream: socket.socket) -> None:
        with suppress(OSError):
            while chunk := self.connection.recv(_CHUNK):
                upstream.sendall(chunk)
            upstream.shutdown(socket.SHUT_WR)

    def _back(self, host: str, chunk: bytes, send: Callable[[bytes], object]) -> None:
        send(chunk)
        self.server.note(host, len(chunk))
        if self.server.manners.rate:
            time.sleep(len(chunk) / self.server.manners.rate)

    def _is_welcome(self, host: str | None) -> bool:
        """Answer those who are not; note the others."""
        manners = self.server.manners
        kind, _, given = self.headers.get("Proxy-Authorization", "").partition(" ")
        login = base64.b64decode(given).decode() if kind == "Basic" else None
        if login:
            self.server.traffic.logins.add(login)
        if manners.login is not None and login != manners.login:
            self._refuse(407, {"Proxy-Authenticate": 'Basic realm="proxy"'})
            return False
        if manners.status is not None and (not manners.refuses or host in manners.refuses):
            self._refuse(manners.status, {})
            return False
        self.server.asked.append((self.command, host, self.headers.get("User-Agent", "")))
        return True

    def _refuse(self, status: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": "0", "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def forward_proxy(manners: Manners | None = None) -> Iterator[ForwardProxy]:
    """A proxy that serves until the block ends."""
    with serving(ForwardProxy(manners or Manners())) as server:
        yield server
