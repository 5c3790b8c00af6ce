"""The HTTP server in a thread of its own, on a socket that is bound before anything else is done."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from orchestrator.errors import CannotCreateError, UsageError
from orchestrator.net.own_addresses import outward
from orchestrator.platform import rlimits
from orchestrator.serve.connections import ConnectionBounds, GuardedProtocol, tune
from orchestrator.serve.http.certificates import ServerCertificate
from orchestrator.serve.http.handshakes import BoundedListener
from orchestrator.supervisor import HANDED, handed_socket
from orchestrator.system import threads

_END = 3.0
"""Seconds that answers under way have when the server stops."""
_HANDSHAKE = 10.0
"""Seconds for a TLS handshake, and for the end of one's connection."""
_MOST_HEADERS = 32 << 10
_HINTS = {
    errno.EADDRINUSE: "another server runs there; choose another port: --listen 127.0.0.1:0 takes a free one",
    errno.EADDRNOTAVAIL: "this machine has no such address; --listen 0.0.0.0:8090 listens on all that it has",
    errno.EACCES: "ports below 1024 are for root; choose a higher one, with a proxy before it if clients need this one",
}
"""What to do when nothing can listen, by the reason."""
_MOST_CONNECTIONS = 1024


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A place to listen at."""

    host: str
    port: int
    scheme: str = "http"

    @property
    def is_loopback(self) -> bool:
        """True when nobody but users of this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def place(self) -> str:
        """The `HOST:PORT` of the address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address for clients; for one that means all of this machine's, that by which others reach it."""
        return self.url_at(self.host)

    def url_at(self, host: str) -> str:
        """The address for clients who know this machine by a name or an address."""
        if host in ("0.0.0.0", "::"):  # noqa: S104 - the name of all addresses is none to ask
            is_new = ":" in host
            host = outward(socket.AF_INET6 if is_new else socket.AF_INET) or ("::1" if is_new else "127.0.0.1")
        return f"{self.scheme}://{replace(self, host=host).place}"


def parse_listen(text: str, option: str = "--listen") -> ListenAddress:
    """Read `HOST:PORT`, `:PORT` or `PORT` of an option; port 0 is a free one. Raises UsageError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise UsageError(f"{option} {text!r} is no address", hint=f"for example {option} 127.0.0.1:8090")
    host = {"localhost": "127.0.0.1", "*": "0.0.0.0"}.get(host, host)  # noqa: S104 - what the user said
    try:
        return ListenAddress(str(ipaddress.ip_address(host)), int(port))
    except ValueError:
        raise UsageError(
            f"{option} {text!r} names no address of this machine",
            hint=f"for example {option} 192.168.1.10:8090, or 0.0.0.0:8090 for all of its addresses",
        ) from None


@contextlib.contextmanager
def listening_at(text: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """See `bound`, for `--listen`: an address, or the socket of the service manager, which keeps its port itself."""
    if text != HANDED:
        with bound(parse_listen(text)) as sockets:
            yield sockets
        return
    with handed_socket() as listener:
        _quicken(listener)
        yield listener, listener


@contextlib.contextmanager
def bound(address: ListenAddress) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A listening socket, and one that keeps its port for a program that inherits it. Raises CannotCreateError.

    Where nobody listens any more, the second one lets nobody else bind the port, and connections are refused. On Linux:
    elsewhere two sockets cannot have one address, and it keeps nothing.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as keeper, contextlib.ExitStack() as stack:
        try:
            place: tuple[Any, ...] = (address.host, address.port)
            if sys.platform == "linux":
                keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                keeper.bind(place)
                place = keeper.getsockname()
            listener = stack.enter_context(socket.create_server(place[:2], family=family, backlog=512))
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError as error:
            raise CannotCreateError(
                f"nothing can listen on {address.host}:{address.port}: {error.strerror}",
                hint=_HINTS.get(error.errno or 0, "choose another port: --listen 127.0.0.1:0 takes a free one"),
            ) from error
        _quicken(listener)
        yield listener, keeper


def _quicken(listener: socket.socket) -> None:
    # Connections inherit it; asyncio sets it only where the socket names its protocol. Without it each answer on a
    # connection that is used again waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tune(listener)


def most_connections() -> int:
    """The connections that may be open at once. Each may need a descriptor for a file, too, and as many remain for what
    is accepted in one go and for all else: where there are none left, asyncio writes without end that it cannot accept.
    """
    return min(_MOST_CONNECTIONS, max(1, rlimits.open_files()[0] // 3))


class _HastyLoop(asyncio.SelectorEventLoop):
    """A loop that waits for a client's handshake for less long than a minute."""

    async def create_server(self, *args: Any, **more: Any) -> asyncio.Server:
        if more.get("ssl") is not None:
            more |= {"ssl_handshake_timeout": _HANDSHAKE, "ssl_shutdown_timeout": _HANDSHAKE}
        return await super().create_server(*args, **more)


def _descriptors(server: uvicorn.Server) -> set[int]:
    """The descriptors of a server's connections."""
    connections = cast(set[GuardedProtocol], server.server_state.connections)
    return {one.transport.get_extra_info("socket").fileno() for one in connections}


@contextlib.contextmanager
def serving(
    app: ASGIApp,
    listener: socket.socket,
    on_end: Callable[[], None],
    bounds: ConnectionBounds,
    certificate: ServerCertificate | None = None,
    *,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Iterator[asyncio.AbstractEventLoop]:
    """Answer requests on the socket until the context ends, with a `certificate` over TLS alone; the event loop that
    does it. `on_end` is called in its thread, where `beside` runs as long as it serves."""
    config = uvicorn.Config(
        app,
        http=cast(type[asyncio.Protocol], functools.partial(GuardedProtocol, bounds=bounds)),
        backlog=max(1, bounds.most // 2),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=_MOST_HEADERS,
        timeout_graceful_shutdown=int(_END),
    )
    config.load()
    config.ssl = certificate.context if certificate else None
    server = uvicorn.Server(config)
    if certificate is not None:
        listener = BoundedListener(listener, max(1, bounds.most // 2), lambda: _descriptors(server))

    begun: Future[asyncio.AbstractEventLoop] = Future()

    async def run() -> None:
        begun.set_result(asyncio.get_running_loop())
        also = asyncio.create_task(beside()) if beside is not None else None
        try:
            await server.serve(sockets=[listener])
        finally:
            if also is not None:
                also.cancel()
            on_end()

    def serve() -> None:
        try:
            with asyncio.Runner(loop_factory=_HastyLoop) as runner:
                runner.run(run())
        except BaseException as error:
            if begun.done():
                raise
            begun.set_exception(error)  # there is no loop, for want of descriptors, say

    thread = threading.Thread(target=serve, name="serve", daemon=True)
    threads.start(thread)
    try:
        yield begun.result()
    finally:
        server.should_exit = True
        thread.join(_END + 2)
