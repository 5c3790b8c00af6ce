"""The connection to a daemon: kept, made again, over TLS, with a login; with a real aria2c."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.aria2.program import find_aria2c
from orchestrator.aria2.transport import KeepAliveClient
from orchestrator.errors import DaemonError
from tests.aria2.test_rpc import MakeRpc
from tests.hub.certificates import make_certificate
from tests.servers.ports import free_port, wait_for_port


@contextmanager
def running(*options: str) -> Iterator[int]:
    """An aria2c of somebody else's; its port."""
    port = free_port()
    words = [str(find_aria2c()), "--no-conf", "--enable-rpc", f"--rpc-listen-port={port}", "--quiet", *options]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.kill()
        process.wait(10)


def test_a_call_over_tls_believes_the_named_certificates_only(tmp_path: Path, make_rpc: MakeRpc) -> None:
    certificate, key = make_certificate(tmp_path)
    secure = ("--rpc-secure", f"--rpc-certificate={certificate}", f"--rpc-private-key={key}")
    with running(*secure) as port:
        url = f"https://localhost:{port}/jsonrpc"
        assert make_rpc(Endpoint(url, ca_bundle=certificate)).version().startswith("1.")
        with pytest.raises(DaemonError, match="is not trusted"):
            make_rpc(Endpoint(url)).version()


def test_a_file_of_certificates_that_is_not_there_is_named(tmp_path: Path, make_rpc: MakeRpc) -> None:
    with pytest.raises(DaemonError, match="absent"):
        make_rpc(Endpoint("https://localhost:9/jsonrpc", ca_bundle=tmp_path / "absent.pem"))


def test_a_server_that_speaks_no_tls_is_told(make_rpc: MakeRpc) -> None:
    with running() as port, pytest.raises(DaemonError, match="does not speak TLS"):
        make_rpc(Endpoint(f"https://127.0.0.1:{port}/jsonrpc")).version()


def test_the_login_of_the_address_is_sent(make_rpc: MakeRpc) -> None:
    with running("--rpc-user=me", "--rpc-passwd=p:w") as port:
        assert make_rpc(Endpoint(f"http://me:p%3Aw@127.0.0.1:{port}/jsonrpc")).version().startswith("1.")
        with pytest.raises(DaemonError):
            make_rpc(Endpoint(f"http://127.0.0.1:{port}/jsonrpc")).version()


def test_calls_share_a_connection_that_is_made_again_when_it_was_closed() -> None:
    """The server closes each connection after two answers, and says nothing of it."""
    served: list[int] = []

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            line, _address = listener.accept()
            with line, line.makefile("rb") as file:
                for _ in range(2):
                    length = 0
                    while (header := file.readline()) not in (b"\r\n", b""):
                        if header.lower().startswith(b"content-length:"):
                            length = int(header.split(b":")[1])
                    file.read(length)
                    answer = b'{"result": {"version": "1"}}'
                    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
                served.append(length)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        client = KeepAliveClient(Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/jsonrpc"), 10)
        for _ in range(2):
            assert client.post("{}")["result"] == {"version": "1"}
        # The end of the connection is on its way, and no answer of ours depends on when it comes.
        client._connection.sock.settimeout(10)
        assert client._connection.sock.recv(1) == b""
        for _ in range(2):
            assert client.post("{}")["result"] == {"version": "1"}
        client.close()
        thread.join(10)
    assert len(served) == 2
