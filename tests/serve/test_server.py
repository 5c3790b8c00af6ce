"""The server's connections: who only holds one gives way to who asks something."""

from __future__ import annotations

import asyncio
import errno
import resource
import select
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import NoReturn

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.errors import CannotCreateError
from orchestrator.serve import connections, server
from orchestrator.serve.connections import UNSENT, ConnectionBounds
from orchestrator.serve.http.proxies import TrustedProxies
from orchestrator.serve.server import bound, most_connections, parse_listen, serving

PATIENCE_S = 20
MOST = 4
BOUNDS = ConnectionBounds(MOST, MOST)


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
        self.address, self._stack = address, stack

    def knock(self, path: str = "", source: str = "127.0.0.1") -> socket.socket:
        """A connection, on which nothing is asked without a path."""
        made = socket.create_connection(self.address, PATIENCE_S, source_address=(source, 0))
        self._stack.enter_context(closing(made))
        # The beginning of a request is no request.
        made.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n" % (path or "/").encode() + (b"\r\n" if path else b""))
        return made


@contextmanager
def door(face: ASGIApp, bounds: ConnectionBounds = BOUNDS) -> Iterator[Door]:
    with ExitStack() as stack:
        listener, _ = stack.enter_context(bound(parse_listen("127.0.0.1:0")))
        stack.enter_context(serving(face, listener, lambda: None, bounds))
        if isinstance(face, Face):
            stack.callback(face.may_answer.set)
        if isinstance(face, Flood):
            stack.callback(setattr, face, "is_over", True)
        yield Door(listener.getsockname(), stack)


def answer(connection: socket.socket) -> bytes:
    """The last bytes of an answer; nothing from a connection that was closed."""
    try:
        with connection.makefile("rb") as file:
            head = b"".join(iter(file.readline, b"\r\n")) if file.peek(1) else b""
            return file.read(2) if head else b""
    except ConnectionError:
        return b""


def test_why_nothing_can_listen_is_told_with_what_helps() -> None:
    with bound(parse_listen("127.0.0.1:0")) as (listener, _):
        taken = f"127.0.0.1:{listener.getsockname()[1]}"
        hints = []
        for text in (taken, "198.51.100.1:0"):
            with pytest.raises(CannotCreateError) as refused, bound(parse_listen(text)):
                pass
            hints.append(refused.value.hint)
    assert all(hints)
    assert len(set(hints)) == 2


def test_who_starts_a_server_is_told_why_it_has_no_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce() -> NoReturn:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(server, "_HastyLoop", scarce)
    with pytest.raises(OSError, match="too many open files"), door(Face()):
        pass


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


# -- what takes too long


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_TICK", 0.1)
    monkeypatch.setattr(connections, "_PAUSED", 0.5)


def ended(connection: socket.socket) -> bool:
    """True when the server ends a connection without a word."""
    return answer(connection) == b""


def test_a_request_that_does_not_come_whole_is_given_up() -> None:
    with door(Face(), ConnectionBounds(MOST, MOST, head=0.1)) as server:
        assert ended(server.knock())


def test_a_request_that_drips_is_given_up() -> None:
    with door(Face(), ConnectionBounds(MOST, MOST, head=0.1)) as server:
        connection = server.knock()
        while not gone_from(connection, 0.02):
            with suppress(ConnectionError):
                connection.sendall(b"x: y\r\n")


def test_a_body_that_does_not_come_whole_is_given_up() -> None:
    with door(Reader(), ConnectionBounds(MOST, MOST, head=0.1, body=0.1)) as server, server.knock() as connection:
        connection.sendall(b"Content-Length: 10\r\n\r\nx")
        assert ended(connection)


def gone_from(connection: socket.socket, seconds: float = PATIENCE_S) -> bool:
    """Wait until the server has ended a connection, without reading from it."""
    poll = select.poll()
    poll.register(connection, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
    return bool(poll.poll(seconds * 1000))


class Reader:
    """Reads a request to its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass


class Flood:
    """Answers with bytes without an end."""

    sent = 0
    is_over = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not self.is_over:
            await send({"type": "http.response.body", "body": bytes(1 << 18), "more_body": True})
            self.sent += 1 << 18
            await asyncio.sleep(0)


def stuck(server: Door) -> socket.socket:
    """A connection to a flood that has begun, of which nothing more is read."""
    connection = server.knock("/")
    assert connection.recv(1)
    return connection


def drained(connection: socket.socket) -> None:
    """Read to the end, which may be a hard one."""
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionError:
        pass


def test_a_reader_that_reads_nothing_is_given_up() -> None:
    with door(Flood(), ConnectionBounds(MOST, MOST, reading=0.5)) as server:
        connection = stuck(server)
        assert gone_from(connection)
        drained(connection)


def test_a_reader_that_takes_little_is_given_up() -> None:
    """A byte now and then does not keep a connection."""
    with door(Flood(), ConnectionBounds(MOST, MOST, reading=0.5)) as server:
        connection = stuck(server)
        while not gone_from(connection, 0.1):
            with suppress(ConnectionError):
                assert connection.recv(100)


def test_a_slow_reader_gets_everything() -> None:
    with door(Flood(), ConnectionBounds(MOST, MOST, reading=0.5, window=1000)) as server:
        connection = stuck(server)
        for _ in range(15):
            assert connection.recv(100_000)
            threading.Event().wait(0.1)


def test_where_it_is_crowded_the_reader_goes_that_paused_longest() -> None:
    with door(Flood()) as server:
        first = stuck(server)
        others = [stuck(server) for _ in range(MOST - 1)]
        # The others go on; a newcomer gives way until the first one has paused for a while.
        while not gone_from(first, 0.1):
            for one in others:
                one.recv(1 << 20)
            server.knock("/")
        assert all(one.recv(1) for one in others)


def test_a_client_makes_room_for_itself_alone() -> None:
    face = Face()
    with door(face, ConnectionBounds(2 * MOST, MOST)) as server:
        other = server.knock("/later", source="127.0.0.2")
        silent = [server.knock() for _ in range(MOST)]
        assert answer(server.knock("/now")) == b"ok"
        assert ended(silent[0])
        face.may_answer.set()
        assert answer(other) == b"ok"


def test_who_has_most_connections_makes_room_for_another() -> None:
    """Also where each of them waits for an answer, which costs nothing."""
    face = Face()
    with door(face, ConnectionBounds(MOST, 2 * MOST)) as server:
        waiting = [server.knock("/later", source="127.0.0.2") for _ in range(MOST)]
        for _ in waiting:
            assert face.asked.acquire(timeout=PATIENCE_S)
        assert answer(server.knock("/now")) == b"ok"
        assert gone_from(waiting[-1])
        # What it may not: take the place of the one that is left.
        first = server.knock("/later")
        assert face.asked.acquire(timeout=PATIENCE_S)
        assert answer(server.knock("/now", source="127.0.0.2")) == b""
        face.may_answer.set()
        assert answer(first) == b"ok"
        assert [answer(one) for one in waiting[:-1]] == [b"ok"] * (MOST - 1)


def test_a_named_proxy_may_have_all_connections() -> None:
    with door(Face(), ConnectionBounds(4 * MOST, 1, proxies=TrustedProxies(["127.0.0.1"]))) as server:
        kept = [server.knock() for _ in range(MOST)]
        assert answer(server.knock("/now")) == b"ok"
        for one in kept:
            one.sendall(b"Connection: close\r\n\r\n")


def test_a_request_that_turns_bad_after_its_answer_has_begun_ends_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with door(Flood()) as server, server.knock() as connection:
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello")
        assert connection.recv(1)
        connection.sendall(b"\r\nno chunk\r\n")
        drained(connection)
    assert not caplog.records


def test_a_named_proxy_may_pause() -> None:
    with door(Flood(), ConnectionBounds(MOST, MOST, reading=0.5, proxies=TrustedProxies(["127.0.0.1"]))) as server:
        proxy, client = stuck(server), server.knock("/", source="127.0.0.2")
        assert client.recv(1)
        assert gone_from(client)
        assert proxy.recv(1)


@pytest.mark.skipif(sys.platform != "linux", reason="only there the system can be told")
def test_who_does_not_read_costs_little_memory() -> None:
    """Beside what its own side takes, which is made small here."""
    flood, is_stuck = Flood(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            sending = asyncio.ensure_future(send(message))
            if not (await asyncio.wait((sending,), timeout=1))[0]:
                is_stuck.set()
            await sending

        await flood(scope, receive, noted)

    with door(app, BOUNDS) as server, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        connection.connect(server.address)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1)
        assert is_stuck.wait(PATIENCE_S)
        assert 0 < flood.sent < 2.5 * UNSENT
