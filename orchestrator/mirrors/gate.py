"""A gate for aria2: bytes of sites that want a token with each request, and redirect to no address that needs none.

aria2 is never given a credential. So it asks this server, on loopback and in the process of the run, for an address
that nobody else can guess; and the gate asks the site, with the token, for the same range. An address is good as long
as the gate is open, since aria2 asks several times for parts of a file.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from orchestrator.errors import GlmAriaError
from orchestrator.net.answers import Stream
from orchestrator.net.session import Net
from orchestrator.system.threads import start

_MOST_TICKETS = 100_000
_PASSED = ("Content-Length", "Content-Range", "Accept-Ranges", "Retry-After", "ETag")
_QUEUE = 256
_POLL = 0.05
"""Seconds after which it looks whether it is closed: a pull waits for that at its end."""


@dataclass(frozen=True, slots=True)
class _Goods:
    """The bytes behind an address of the gate: their address at `home`, and the way to it with its token."""

    url: str
    home: str
    net: Callable[[], Net]
    renew: Callable[[], bool]

    def ask(self, byte_range: tuple[int, int] | None) -> Stream:
        """The site's answer; it is asked again with a new token where it no longer takes the old one."""
        stream = self.net().stream(self.url, byte_range=byte_range, home=self.home)
        if stream.status == 401 and self.renew():
            stream.close()
            stream = self.net().stream(self.url, byte_range=byte_range, home=self.home)
        return stream


class LoopbackGate:
    """A context manager; it listens only once somebody has to go through. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._goods: OrderedDict[str, _Goods] = OrderedDict()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            server, self._server = self._server, None
            self._goods.clear()
        if server is not None:
            server.shutdown()
            server.server_close()

    def address(self, url: str, home: str, net: Callable[[], Net], renew: Callable[[], bool] = lambda: False) -> str:
        """An address on loopback for the bytes at `url`, to which the site at `home` led.

        `net` gives the way there each time, since tokens end; `renew` drops the token that it would give, and is true
        if another may help. Raises CannotCreateError.
        """
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            if self._server is None:
                self._server = _Server(self)
                start(threading.Thread(target=self._server.serve_forever, args=(_POLL,), name="gate", daemon=True))
            self._goods[ticket] = _Goods(url, home, net, renew)
            while len(self._goods) > _MOST_TICKETS:
                self._goods.popitem(last=False)
            return f"http://127.0.0.1:{self._server.server_address[1]}/{ticket}"

    def _behind(self, ticket: str) -> _Goods | None:
        with self._lock:
            return self._goods.get(ticket)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = _QUEUE

    def __init__(self, gate: LoopbackGate) -> None:
        self.behind = gate._behind
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Say nothing of an aria2 that hung up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Pass the bytes on, as the site sends them."""
        goods = self.server.behind(self.path.removeprefix("/"))
        if goods is None:
            self._refuse(404)
            return
        try:
            stream = goods.ask(_range(self.headers.get("Range")))
        except GlmAriaError as error:
            self._refuse(503 if error.retryable else 502)
            return
        with stream:
            self._pass_on(stream)

    def _pass_on(self, stream: Stream) -> None:
        self.send_response_only(stream.status)
        for name in _PASSED:
            if value := stream.headers.get(name):
                self.send_header(name, value)
        # A body without a length ends with the connection, and so does one that breaks off.
        is_bounded = "Content-Length" in stream.headers
        if not is_bounded:
            self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()
        with suppress(GlmAriaError, OSError):
            for chunk in stream.chunks():
                self.wfile.write(chunk)
            self.close_connection = not is_bounded

    def _refuse(self, status: int) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing: an address of the gate is a ticket."""


def _range(header: str | None) -> tuple[int, int] | None:
    """The range of `bytes=A-B`, which is all that aria2 asks for; None for the whole."""
    first, _, last = (header or "").removeprefix("bytes=").partition("-")
    return (int(first), int(last) + 1) if first.isdecimal() and last.isdecimal() else None
