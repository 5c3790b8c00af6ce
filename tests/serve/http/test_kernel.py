"""A file that the kernel sends is what the length said, on a connection that goes on; else the connection breaks."""

from __future__ import annotations

import fcntl
import http.client
import os
import socket
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from starlette.types import Receive, Scope, Send

from orchestrator.serve.connections import ConnectionBounds
from orchestrator.serve.http.kernel import send_file_in
from orchestrator.serve.server import bound, parse_listen, serving
from tests.hub.content import generate

SIZE = 12_000_000
"""More than the kernel keeps for a connection."""
RIGHT = generate(SIZE, 5)


class Face:
    """Sends a file but for its first byte, in two pieces; it may be shorter than its length says. Where it `waits`, the
    second one goes out when the client has left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.waits = False
        self.has_broken = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % (SIZE - 1))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        send_file = send_file_in(scope)
        assert send_file is not None
        try:
            with self._path.open("rb") as file:
                for start, end in ((1, SIZE // 2), (SIZE // 2, SIZE)):
                    assert await send_file(file.fileno(), start, end - start)
                    while self.waits and (await receive())["type"] != "http.disconnect":
                        pass
        except ConnectionAbortedError:
            self.has_broken.set()
        else:
            await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def face(tmp_path: Path) -> Face:
    file = tmp_path / "file"
    file.write_bytes(RIGHT)
    return Face(file)


@contextmanager
def address(face: Face) -> Iterator[tuple[str, int]]:
    with ExitStack() as stack:
        listener, _ = stack.enter_context(bound(parse_listen("127.0.0.1:0")))
        stack.enter_context(serving(face, listener, lambda: None, ConnectionBounds(8, 8)))
        yield listener.getsockname()


def test_a_file_comes_and_the_connection_goes_on(face: Face) -> None:
    with address(face) as (host, port):
        connection = http.client.HTTPConnection(host, port, timeout=20)
        for _ in range(2):
            connection.request("GET", "/")
            assert connection.getresponse().read() == RIGHT[1:]
        connection.close()


def test_a_file_in_memory_comes_too() -> None:
    """A tmpfs does not tell what is in memory, since all is."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or "tmpfs /dev/shm " not in Path("/proc/mounts").read_text():
        pytest.skip("this system has no /dev/shm")
    with TemporaryDirectory(dir=memory) as folder:
        file = Path(folder, "file")
        file.write_bytes(RIGHT)
        with address(Face(file)) as (host, port):
            connection = http.client.HTTPConnection(host, port, timeout=20)
            connection.request("GET", "/")
            assert connection.getresponse().read() == RIGHT[1:]
            connection.close()


def test_a_file_that_became_shorter_breaks_the_connection(face: Face, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(RIGHT[: SIZE // 2])
    with address(face) as (host, port):
        connection = http.client.HTTPConnection(host, port, timeout=20)
        connection.request("GET", "/")
        with pytest.raises((http.client.IncompleteRead, ConnectionError)), connection.getresponse() as answer:
            answer.read()
        connection.close()


def test_a_client_that_has_left_gets_nothing_more(face: Face) -> None:
    face.waits = True
    with address(face) as (host, port):
        connection = http.client.HTTPConnection(host, port, timeout=20)
        connection.request("GET", "/")
        with connection.getresponse() as answer:
            assert answer.read(SIZE // 2 - 1) == RIGHT[1 : SIZE // 2]
        connection.close()
        assert face.has_broken.wait(20)


def test_a_client_that_leaves_is_no_failure(face: Face) -> None:
    with address(face) as place:
        with socket.create_connection(place, 20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(1000)
        assert face.has_broken.wait(20)
        connection = http.client.HTTPConnection(*place, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().read() == RIGHT[1:]
        connection.close()


def test_a_client_that_has_said_all_and_reads_on_ends_it_while_bytes_wait_for_it(face: Face) -> None:
    with address(face) as place, socket.create_connection(place, timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        # Nothing more comes into the client's memory: what the server writes by hand waits in its own.
        assert until_still(lambda: unread(client))
        client.shutdown(socket.SHUT_WR)
        while client.recv(1 << 20):
            pass
        assert face.has_broken.wait(20)


def unread(client: socket.socket) -> int:
    found = fcntl.ioctl(client, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(found, sys.byteorder)


def until_still(count: Callable[[], int]) -> bool:
    """Wait until a count that grows has been the same for a while."""
    before, still = 0, 0
    while still < 10:
        threading.Event().wait(0.05)
        now = count()
        still, before = (still + 1, now) if now and now == before else (0, now)
    return True
