"""What the kernel tells of the connections of a process: those of this one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from orchestrator.system.tcp_info import paths_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
SIZE = 300_000


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", 4), ("::1", 6)])
def test_a_connection_that_received_something(host: str, family: int) -> None:
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    with (
        socket.create_server((host, 0), family=kind) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
        server.accept()[0] as far,
    ):
        port = client.getsockname()[1]
        assert not [path for path in paths_of(os.getpid()) if path.port == port], "it has received nothing yet"
        far.sendall(bytes(SIZE))
        left = SIZE
        while left:
            left -= len(client.recv(left))
        (path,) = [path for path in paths_of(os.getpid()) if path.port == port]
    assert (path.family, path.received) == (family, SIZE)
    assert 0 < path.packets <= SIZE // 500
    assert 0 < path.least_round_trip < 1
    assert path.late == 0


def test_connections_of_others_are_not_ours() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as other:
        assert paths_of(other.pid) == ()
        other.communicate("\n")


def test_a_process_that_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
        assert paths_of(other.pid) == ()
