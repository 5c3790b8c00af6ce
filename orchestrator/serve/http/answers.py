"""Requests and answers of the server as ASGI has them."""

from __future__ import annotations

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
from orchestrator.serve.http.refusals import Refused

_MOST_BODY = 1 << 20
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?|\[[0-9a-fA-F:.]{2,45}\](?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: names of headers are in lower case, `link_base` is the address at which it reached us,
    `client` that of who asks, without a port.

    `is_below` says that it was made below our prefix. `keep` tells the client that its answer is on its way, as long as
    none has begun; None where it would not understand.
    """

    method: str
    client: str
    raw_path: bytes
    query_string: bytes
    headers: Mapping[str, str]
    link_base: str
    is_below: bool
    receive: Receive
    keep: Callable[[], None] | None = None

    @classmethod
    def of(cls, scope: Scope, prefix: str, receive: Receive) -> Request:
        """Read an ASGI scope. `prefix` is the path below which we are asked; a proxy may have removed it."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not _HOST.fullmatch(host):
            address, port = scope.get("server") or ("127.0.0.1", 80)
            host = f"{address}:{port}"
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        # The prefix may be a secret.
        is_below = hmac.compare_digest((path + b"/")[: len(prefix) + 1], prefix.encode() + b"/")
        if is_below:
            path = path[len(prefix) :]
        base = f"{scope['scheme']}://{host}{prefix}"
        interim, status = interim_in(scope), interim_of(headers.get("user-agent", ""))
        keep = partial(interim, status) if interim and status else None
        client = (scope.get("client") or ("",))[0]
        return cls(scope["method"], client, path, scope["query_string"], headers, base, is_below, receive, keep)


class Answering:
    """The one answer to a request. Left without its end, the server closes the connection after what was sent."""

    def __init__(self, send: Send, exchange: Exchange) -> None:
        self._send = send
        self.exchange = exchange

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
        if self.exchange.first_byte is None:
            self.exchange.first_byte = time.monotonic()
        self.exchange.sent += len(data)

    async def end(self) -> None:
        """That was all."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        self.exchange.is_whole = True

    async def give(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        """Send a short answer."""
        length = {} if status == 304 or "Content-Length" in headers else {"Content-Length": str(len(data))}
        await self.begin(status, {**headers, **length})
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        self.exchange.sent += len(data) if self.exchange.method != "HEAD" else 0
        self.exchange.is_whole = True


async def gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_body(receive: Receive) -> bytes:
    """The body of a request. Raises Refused when it is too long."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MOST_BODY:
            raise Refused(413, f"the body has more than {_MOST_BODY} bytes")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return bytes(body)
