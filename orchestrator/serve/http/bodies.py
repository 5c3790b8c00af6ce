"""Bodies of requests: how long they may be, and how many long ones a client may have kept in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.types import Receive

from orchestrator.serve.http.refusals import Refused, busy

MOST = 1 << 20
SHORT = 64 << 10
"""Bytes up to which a body counts for nothing: the server reads as much before anybody asks for it."""
_EACH = 4
"""Long bodies of one client at once."""


async def read_body(receive: Receive, most: int = MOST, *, on_long: Callable[[], None] | None = None) -> bytes:
    """The body of a request. Raises Refused when it is too long, and what `on_long` does when it becomes long."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            raise Refused(413, f"the body has more than {most} bytes")
        if on_long is not None and len(body) > SHORT:
            on_long()
            on_long = None
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return bytes(body)


class Bodies:
    """Reads bodies for clients, each of which has a few long ones at once: who sends many slowly shall not have us keep
    them all. For the thread of the event loop."""

    def __init__(self) -> None:
        self._long: Counter[str] = Counter()

    @asynccontextmanager
    async def of(self, receive: Receive, client: str, most: int = MOST) -> AsyncIterator[bytes]:
        """The body of a request of a client, at most so many bytes, which counts until the context ends. Raises
        Refused."""
        is_long = False

        def count() -> None:
            nonlocal is_long
            if client and self._long[client] >= _EACH:
                raise busy(f"{client} has {_EACH} requests with long bodies already", 1)
            is_long = True
            self._long[client] += 1

        try:
            yield await read_body(receive, most, on_long=count)
        finally:
            if is_long:
                self._long[client] -= 1
                self._long += Counter()  # without those that have none
