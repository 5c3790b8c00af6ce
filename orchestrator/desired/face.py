"""The status over HTTP, for probes, Prometheus and `fleet status`. Reads nothing from a client but its first line.

Four fixed addresses, GET and HEAD, no secrets; at most 16 clients at once, each for 10 s at most. Where there are more,
the one that came first goes: probes are answered while others hold what they can.

A place on loopback is for this machine, so it answers to names of loopback alone: a page cannot lead a browser here by
a name of its own. Any other place is called by names that nobody knows beforehand (services, proxies), and answers to
all: what it shows is for everybody who reaches it, and a browser there is one of them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit

from orchestrator import __version__
from orchestrator.core.addresses import Place, is_this_machine
from orchestrator.desired.status import ALIVE, SetStatus, metrics, render
from orchestrator.errors import CannotCreateError
from orchestrator.system import threads

PORT = 8093
_CLIENTS = 16
_PATIENCE = 10.0

Look = Callable[[], tuple[SetStatus | None, float]]
"""The status, and when the loop turned last, in monotonic seconds."""


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, place: Place, look: Look) -> None:
        self.look = look
        self.address_family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        self.is_near = is_this_machine(place.host)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        super().__init__((place.host, place.port if place.port is not None else PORT), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._open) >= _CLIENTS:
                self._hang_up(next(iter(self._open)))
            self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)

    def service_actions(self) -> None:
        """End what drips: a read that waits is bounded by itself, all of them together are not."""
        with self._lock:
            for request, since in tuple(self._open.items()):
                if time.monotonic() >= since + _PATIENCE:
                    self._hang_up(request)

    def _hang_up(self, request: socket.socket) -> None:
        del self._open[request]
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server_version = f"glm-aria/{__version__}"
    sys_version = ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        if self.server.is_near and not _is_near(self.headers.get("Host")):  # type: ignore[attr-defined]
            # A page that leads a browser here by a name of its own.
            self._answer(421, "this is the status of this machine alone\n")
            return
        status, turned = self.server.look()  # type: ignore[attr-defined]
        path = self.path.partition("?")[0]
        if path == "/healthz":
            is_alive = time.monotonic() - turned < ALIVE
            self._answer(200 if is_alive else 503, "ok\n" if is_alive else "the follower does not turn\n")
        elif path == "/readyz":
            has_set = status is not None and status.current is not None and status.phase != "degraded"
            self._answer(200 if has_set else 503, "ok\n" if has_set else "readers have no whole set\n")
        elif status is None:
            self._answer(503, "not yet\n")
        elif path == "/status":
            self._answer(200, render(status), "application/json; charset=utf-8")
        elif path == "/metrics":
            self._answer(200, metrics(status, time.time()), "text/plain; version=0.0.4; charset=utf-8")
        else:
            self._answer(404, "/status /metrics /healthz /readyz\n")

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing: probes come every few seconds."""

    def _answer(self, code: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(code)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _is_near(host: str | None) -> bool:
    """True where a client calls this machine by a name of loopback, or by none."""
    if host is None:
        return True
    try:
        return is_this_machine(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


@contextlib.contextmanager
def showing(place: Place | None, look: Look) -> Iterator[int | None]:
    """Show the status at a place as long as the context lasts; gives the port. Raises CannotCreateError."""
    if place is None:
        yield None
        return
    try:
        server = _Server(place, look)
    except OSError as error:
        raise CannotCreateError(
            f"nothing can listen at {place}: {error.strerror or error}", hint="choose another place: --status-listen"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="status", kwargs={"poll_interval": 0.2}, daemon=True)
    threads.start(thread)
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
