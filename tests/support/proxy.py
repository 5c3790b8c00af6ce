"""A forward proxy for plain http that reaches this machine whatever a host is called: so any name can be served."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit


class ForwardProxy(http.server.ThreadingHTTPServer):
    """`asked` holds (method, host, user agent) of each request. `rate` bounds each answer, in bytes/s."""

    daemon_threads = True

    def __init__(self, rate: float | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.rate = rate
        self.asked: list[tuple[str, str | None, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Forward(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ForwardProxy

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.asked.append((self.command, parts.hostname, self.headers.get("User-Agent", "")))
        upstream = HTTPConnection("127.0.0.1", parts.port or 80, timeout=20)
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        upstream.request(self.command, f"{parts.path}?{parts.query}" if parts.query else parts.path, headers=headers)
        answer = upstream.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(answer.read())
        upstream.close()

    def _send_body(self, body: bytes) -> None:
        """At the rate of the proxy, as one that is overloaded."""
        rate = self.server.rate
        step = len(body) if rate is None else max(1, int(rate / 40))
        with suppress(OSError):
            for at in range(0, len(body), step or 1):
                self.wfile.write(body[at : at + step])
                time.sleep(step / rate if rate else 0)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def forward_proxy(rate: float | None = None) -> Iterator[ForwardProxy]:
    """A proxy that serves until the block ends."""
    server = ForwardProxy(rate)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
