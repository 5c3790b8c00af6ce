"""Requests and answers of the server as ASGI has them."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from starlette.types import Receive, Scope, Send

from orchestrator.serve.http.clients import interim_of
from orchestrator.serve.http.exchange import Exchange
from orchestrator.serve.http.interim import interim_in
from orchestrator.serve.http.kernel import SendFile
from orchestrator.serve.http.proxies import TrustedProxies

_SLICE = 256 << 10
_PORT = re.compile(r":\d{1,5}$")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?|\[[0-9a-fA-F:.]{2,45}\](?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: names of headers are in lower case, `link_base` is the address at which it reached us.

    `host` is the name that the client gave us, without a port: None where it gave none, empty for what is no name.
    `listener` is our address on its connection, `client` its own. `is_below` says that it asked below our prefix,
    `is_passed_on` that a proxy asks which is believed.
    `keep` tells the client that its answer is on its way, as long as none has begun; None where it would not
    understand.
    """

    method: str
    client: str
    raw_path: bytes
    query_string: bytes
    headers: Mapping[str, str]
    host: str | None
    listener: str
    link_base: str
    is_below: bool
    is_passed_on: bool
    receive: Receive
    keep: Callable[[], None] | None = None

    @classmethod
    def of(cls, scope: Scope, prefix: str, receive: Receive, proxies: TrustedProxies) -> Request:
        """Read an ASGI scope. `prefix` is the path below which we are asked; a proxy may have removed it."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        address, port = scope.get("server") or ("127.0.0.1", 80)
        peer = (scope.get("client") or ("", 0))[0]
        place, host = headers.get("host"), None
        if place is not None:
            host = place.rpartition(":")[0] if _PORT.search(place) else place
            host = host.removeprefix("[").removesuffix("]").lower() if _HOST.fullmatch(place) else ""
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        # The prefix may be a secret.
        is_below = hmac.compare_digest((path + b"/")[: len(prefix) + 1], prefix.encode() + b"/")
        if is_below:
            path = path[len(prefix) :] or b"/"
        scheme = scope["scheme"]
        if peer in proxies and headers.get("x-forwarded-proto") in ("http", "https"):
            scheme = headers["x-forwarded-proto"]
        interim, status = interim_in(scope), interim_of(headers.get("user-agent", ""))
        return cls(
            scope["method"],
            proxies.client(peer, headers.get("x-forwarded-for", "")),
            path,
            scope["query_string"],
            headers,
            host,
            listener=address,
            link_base=f"{scheme}://{place if host else f'{address}:{port}'}{prefix}",
            is_below=is_below,
            is_passed_on=peer in proxies,
            receive=receive,
            keep=partial(interim, status) if interim and status else None,
        )

    @property
    def has_body(self) -> bool:
        """True when bytes follow the headers."""
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0").strip("0") != ""


class Answering:
    """The one answer to a request. Left without its end, the server closes the connection after what was sent.

    `pace` tells how many seconds to wait after so many bytes of a body.
    """

    def __init__(self, send: Send, exchange: Exchange, send_file: SendFile | None = None) -> None:
        self._send = send
        self._send_file = send_file
        self.exchange = exchange
        self.pace: Callable[[int], float] = _at_once

    @property
    def has_begun(self) -> bool:
        """True when a status was sent."""
        return self.exchange.status > 0

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status and the headers."""
        self.exchange.status = status
        pairs = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def body(self, data: bytes | bytearray) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        await self._was_sent(len(data))

    async def file(self, fd: int, at: int, count: int) -> bool:
        """Have the kernel send a piece of the body, from an offset in a file; False where it cannot."""
        if self._send_file is None or not await self._send_file(fd, at, count):
            return False
        await self._was_sent(count)
        return True

    async def end(self) -> None:
        """That was all."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        self.exchange.is_whole = True

    async def give(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        """Send a short answer."""
        length = {} if status == 304 or "Content-Length" in headers else {"Content-Length": str(len(data))}
        await self.begin(status, {**headers, **length})
        if self.exchange.method == "HEAD":
            data = b""
        last = max(0, len(data) - 1) // _SLICE * _SLICE
        for start in range(0, last, _SLICE):  # a client that does not read costs no copy of it all
            await self.body(data[start : start + _SLICE])
        await self._send({"type": "http.response.body", "body": data[last:], "more_body": False})
        self.exchange.sent += len(data) - last
        self.exchange.is_whole = True

    async def _was_sent(self, count: int) -> None:
        if self.exchange.first_byte is None:
            self.exchange.first_byte = time.monotonic()
        self.exchange.sent += count
        if seconds := self.pace(count):
            await asyncio.sleep(seconds)


def _at_once(_: int) -> float:
    return 0.0


async def gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
