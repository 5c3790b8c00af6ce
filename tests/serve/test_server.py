"""The server's connections: who only holds one gives way to who asks something."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from starlette.types import Receive, Scope, Send

from orchestrator.serve.server import bound, most_connections, parse_listen, serving

PATIENCE_S = 20
MOST = 4


class Face:
    """Answers `/now` at once, and all else when it may."""

    def __init__(self) -> None:
        self.asked, self.may_answer = threading.Semaphore(0), threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/now":
            self.asked.release()
            await asyncio.to_thread(self.may_answer.wait, PATIENCE_S)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Door:
    """A server, and connections to it."""

    def __init__(self, address: tuple[str, int], stack: ExitStack) -> None:
        self._address, self._stack = address, stack

    def knock(self, path: str = "") -> socket.socket:
        """A connection, on which nothing is asked without a path."""
        made = self._stack.enter_context(closing(socket.create_connection(self._address, PATIENCE_S)))
        # The beginning of a request is no request.
        made.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n" % (path or "/").encode() + (b"\r\n" if path else b""))
        return made


@contextmanager
def door(face: Face) -> Iterator[Door]:
    with ExitStack() as stack:
        listener, _ = stack.enter_context(bound(parse_listen("127.0.0.1:0")))
        stack.enter_context(serving(face, listener, lambda: None, most=MOST))
        stack.callback(face.may_answer.set)
        yield Door(listener.getsockname(), stack)


def answer(connection: socket.socket) -> bytes:
    """The last bytes of an answer; nothing from a connection that was closed."""
    try:
        with connection.makefile("rb") as file:
            head = b"".join(iter(file.readline, b"\r\n")) if file.peek(1) else b""
            return file.read(2) if head else b""
    except ConnectionError:
        return b""


def test_the_oldest_connection_at_which_nobody_waits_makes_room() -> None:
    with door(Face()) as server:
        silent = [server.knock() for _ in range(3 * MOST)]
        asking = server.knock("/now")
        assert answer(asking) == b"ok"
        # All that are too many, the oldest first.
        for one in silent[: -MOST + 1]:
            assert answer(one) == b""


def test_who_waits_for_an_answer_gets_it() -> None:
    face = Face()
    with door(face) as server:
        waiting = [server.knock("/later") for _ in range(MOST)]
        for _ in waiting:
            assert face.asked.acquire(timeout=PATIENCE_S)
        assert answer(server.knock("/now")) == b""
        face.may_answer.set()
        assert [answer(one) for one in waiting] == [b"ok"] * MOST
        assert answer(server.knock("/now")) == b"ok"


def test_there_are_descriptors_left_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert most_connections() == 85
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 20, 1 << 20))
    assert most_connections() == 1024
