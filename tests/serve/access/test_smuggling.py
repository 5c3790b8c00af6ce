"""Requests that nginx and a server behind it might read in two ways: what stands in a body is no request."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

from tests.hub.loopback import LoopbackHub
from tests.machine.fixtures import open_place  # noqa: F401 - a fixture
from tests.machine.machine import Machine
from tests.serve.access.test_nginx import behind_nginx
from tests.serve.servers import Server

FILES = {"config.json": b"{}"}
CLIENT = "127.0.0.9"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
LENGTHS = (
    b"Content-Length: %d\r\n",
    b"Content-Length: 0\r\nContent-Length: %d\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding: xchunked\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding : chunked\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding:\x0bchunked\r\n",
    b"Content-Length: %d\r\nX: y\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: %d\r\nX: y\rTransfer-Encoding: chunked\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding: identity, chunked\r\n",
    b"Content-Length: %d\r\n Transfer-Encoding: chunked\r\n",
    b"Content-Length: +%d\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"Expect: 100-continue\r\nContent-Length: %d\r\n",
    b"Connection: Content-Length\r\nContent-Length: %d\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: %d\r\n",
)
BODIES = (
    HIDDEN,
    b"0\r\n\r\n" + HIDDEN,
    b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    b"1;\n\r\nx\r\n0\r\n\r\n" + HIDDEN,
)


def test_what_stands_in_a_body_is_no_request(
    machine: Machine,
    hub: LoopbackHub,
    tmp_path: Path,
    open_place: Path,  # noqa: F811
) -> None:
    log = tmp_path / "access.log"
    server = Server.start(
        machine, "--no-mirrors", "--host", "localhost", "--trusted-proxy", "127.0.0.1", "--access-log", str(log)
    )
    assert hub.url
    with behind_nginx(server, open_place) as running:
        context = ssl.create_default_context(cafile=str(open_place / "cert.pem"))
        for method in (b"POST /api/models/org/m/paths-info/main", b"GET /api/models/org/m"):
            for length in LENGTHS:
                for body in BODIES:
                    head = method + b" HTTP/1.1\r\nHost: localhost\r\n" + length.replace(b"%d", b"%d" % len(body))
                    with (
                        socket.create_connection(("127.0.0.1", running.port), 20, (CLIENT, 0)) as plain,
                        context.wrap_socket(plain, server_hostname="localhost") as connection,
                    ):
                        connection.sendall(head + b"\r\n" + body)
                        code = connection.recv(1 << 16)[9:12]
                        assert code < b"500" or code == b"501", (code, head, body)  # nginx knows no such coding
    server.stop()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    # nginx says of each request that it knows for whom it asks. One that it took for a body would come from itself.
    assert len(lines) > len(BODIES)
    assert {line["client"] for line in lines} == {CLIENT}
    assert {line["status"] for line in lines} <= {200, 400, 404, 405, 499}
