"""The calls, with a real aria2c: right answers, and one kind of error for everything else."""

from __future__ import annotations

import ctypes
import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.aria2.daemon import find_aria2c
from orchestrator.aria2.interface import Endpoint
from orchestrator.aria2.rpc import Rpc
from orchestrator.aria2.theirs import RunningDaemon
from orchestrator.errors import DaemonError, UsageError

MakeRpc = Callable[..., Rpc]


def test_it_answers(rpc: Rpc) -> None:
    assert rpc.version().startswith("1.")
    assert rpc.global_stat()["numActive"] == "0"
    assert rpc.poll() == ([], [])
    assert rpc.tell([]) == rpc.servers([]) == {}
    assert rpc.tell(["0" * 15 + "1"]) == {}
    rpc.remove(["0" * 15 + "1"])
    rpc.forget([])


def test_a_wrong_secret(endpoint: Endpoint, make_rpc: MakeRpc) -> None:
    with pytest.raises(DaemonError, match="secret") as caught:
        make_rpc(Endpoint(endpoint.url, "wrong")).version()
    assert "--rpc-secret-file" in (caught.value.hint or "")
    assert endpoint.secret not in repr(endpoint)


def test_a_dead_port(make_rpc: MakeRpc) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/jsonrpc"
        for call in (Rpc.version, Rpc.global_stat, Rpc.poll):
            with pytest.raises(DaemonError, match="does not answer"):
                call(make_rpc(Endpoint(address)))


@pytest.fixture(params=[b"<html>hello</html>", b"{}", b"[]", b'{"result": 1}', b"null", b""])
def not_aria2(request: pytest.FixtureRequest) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(request.param)))
            self.end_headers()
            self.wfile.write(request.param)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jsonrpc"
    server.shutdown()
    thread.join()
    server.server_close()


def test_something_that_is_not_aria2(not_aria2: str, make_rpc: MakeRpc, tmp_path: Path) -> None:
    rpc = make_rpc(Endpoint(not_aria2))
    for call in (rpc.version, rpc.global_stat, rpc.poll, lambda: rpc.writes_into(tmp_path)):
        with pytest.raises(DaemonError):
            call()


@pytest.mark.parametrize("url", ["", "localhost:6800", "ftp://x/jsonrpc", "http://"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UsageError):
        Endpoint(url)


def test_writers_are_found_by_path(rpc: Rpc, tmp_path: Path) -> None:
    for gid, name in (("a" * 16, "one"), ("b" * 16, "two")):
        told = {"gid": gid, "dir": str(tmp_path), "out": name, "pause": "true"}
        assert rpc.add_all([(["http://127.0.0.1:9/x"], told)]) == [None]
    assert rpc.writers(tmp_path / "two") == ["b" * 16]
    assert rpc.writers(tmp_path / "three") == []
    rpc.remove(["a" * 16, "b" * 16])


def test_it_writes_into_our_folder(rpc: Rpc, tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    folder.mkdir()
    (folder / "other").write_text("kept")
    assert rpc.writes_into(folder)
    assert [path.name for path in folder.iterdir()] == ["other"]
    assert rpc.poll() == ([], [])
    assert rpc.global_stat()["numWaiting"] == "0"


def start_elsewhere(folder: Path, runtime: Path) -> tuple[subprocess.Popen[bytes], Endpoint]:
    """An aria2c that sees another folder at the place of `folder`.

    In a mount namespace of its own, where a tmpfs covers `folder`: as root, or in a user namespace where the system
    lets users have one. Elsewhere it cannot make files at all (RLIMIT_NOFILE leaves none to open for writing).
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    runtime.mkdir()
    command = [str(find_aria2c()), "--no-conf", "--enable-rpc", f"--rpc-listen-port={port}", "--quiet"]
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]
    script = 'mount -t tmpfs none "$0" && exec "$@"'
    if subprocess.run([*unshare, "true"], check=False, capture_output=True, timeout=10).returncode == 0:
        command = [*unshare, "sh", "-c", script, str(folder), *command]
        limit = None
    else:
        limit = _no_bytes_to_files
    process = subprocess.Popen(command, cwd=runtime, preexec_fn=limit, stdin=subprocess.DEVNULL)
    return process, Endpoint(f"http://127.0.0.1:{port}/jsonrpc")


def _no_bytes_to_files() -> None:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's namespaces and limits")
def test_a_daemon_that_does_not_see_our_folder(tmp_path: Path, make_rpc: MakeRpc) -> None:
    folder = tmp_path / "stage"
    folder.mkdir()
    process, endpoint = start_elsewhere(folder, tmp_path / "theirs")
    try:
        rpc = make_rpc(endpoint)
        _until_it_answers(rpc)
        assert not rpc.writes_into(folder)
        assert list(folder.iterdir()) == []
        assert rpc.poll()[0] == []
        with pytest.raises(DaemonError, match="does not write to our disk"):
            RunningDaemon(endpoint).check(folder)
    finally:
        process.kill()
        process.wait(10)


def _until_it_answers(rpc: Rpc) -> None:
    for _ in range(500):
        try:
            rpc.version()
        except DaemonError:
            ctypes.CDLL(None).usleep(10_000)
        else:
            return
    raise AssertionError("aria2c did not start")
