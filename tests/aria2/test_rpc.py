"""The calls, with a real aria2c: right answers, and one kind of error for everything else."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.aria2.endpoint import Download, Endpoint
from orchestrator.aria2.program import find_aria2c
from orchestrator.aria2.rpc import Rpc
from orchestrator.aria2.running import RunningDaemon
from orchestrator.errors import DaemonError, UsageError
from tests.aria2.conftest import holds_nothing, paused
from tests.servers.ports import free_port
from tests.servers.threads import serving

MakeRpc = Callable[..., Rpc]


def test_a_new_daemon_answers_that_it_has_nothing_to_do(rpc: Rpc) -> None:
    assert rpc.version().startswith("1.")
    assert rpc.global_stat()["numActive"] == "0"
    assert rpc.tell([]) == {}
    options, active = rpc.circumstances()
    assert (options["max-concurrent-downloads"], active) == ("64", 0)
    assert rpc.tell(["0" * 15 + "1"]) == {}
    rpc.remove(["0" * 15 + "1"])
    rpc.forget([])


def test_a_wrong_secret_is_told_and_shown_to_nobody(endpoint: Endpoint, make_rpc: MakeRpc) -> None:
    with pytest.raises(DaemonError, match="secret") as caught:
        make_rpc(Endpoint(endpoint.url, "wrong")).version()
    assert "--rpc-secret-file" in (caught.value.hint or "")
    assert endpoint.secret not in repr(endpoint)


def test_a_port_at_which_nobody_listens_is_told(make_rpc: MakeRpc) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/jsonrpc"
        for call in (Rpc.version, Rpc.global_stat, Rpc.circumstances):
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

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/jsonrpc"


def test_something_that_is_not_aria2(not_aria2: str, make_rpc: MakeRpc, tmp_path: Path) -> None:
    rpc = make_rpc(Endpoint(not_aria2))
    for call in (rpc.version, rpc.global_stat, rpc.circumstances, lambda: rpc.writes_into(tmp_path)):
        with pytest.raises(DaemonError):
            call()


@pytest.mark.parametrize("url", ["", "localhost:6800", "ftp://x/jsonrpc", "http://"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UsageError):
        Endpoint(url)


def test_writers_are_found_by_path(rpc: Rpc, tmp_path: Path) -> None:
    gids = rpc.add([paused(tmp_path / "one"), paused(tmp_path / "two")])
    assert rpc.writers([tmp_path / "two"]) == [gids[1]]
    assert rpc.writers([tmp_path.parent / "two", tmp_path / "o"]) == []
    rpc.remove([str(gid) for gid in gids])


ODD_URIS = [
    ["magnet:?xt=urn:btih:" + "a" * 40],  # has no file yet, and a name of aria2's own later
    ["http://127.0.0.1:9/"],  # has no name
    ["http://127.0.0.1:9/.hidden"],
    ["http://127.0.0.1:9/%2e%2e"],
]


@pytest.mark.parametrize("uris", ODD_URIS)
@pytest.mark.parametrize("pause", ["true", "false"])
def test_downloads_of_others_may_look_like_anything(rpc: Rpc, tmp_path: Path, uris: list[str], pause: str) -> None:
    theirs = rpc._call("aria2.addUri", uris, {"dir": str(tmp_path), "pause": pause, "retry-wait": "60"})
    (ours,) = rpc.add([paused(tmp_path / ("a" * 64 + ".span-3"))])
    assert rpc.writers([tmp_path / ("a" * 64)]) == [ours]
    assert set(rpc.tell([str(ours)])) == {ours}
    rpc.remove([str(ours), theirs])


def test_what_aria2_refuses_is_told(rpc: Rpc, tmp_path: Path) -> None:
    (answer,) = rpc.add([Download("one", 9, "http://127.0.0.1:9/x", {"dir": str(tmp_path), "split": "many"})])
    assert isinstance(answer, DaemonError)


def test_it_writes_into_our_folder(rpc: Rpc, tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    folder.mkdir()
    (folder / "other").write_text("kept")
    assert rpc.writes_into(folder)
    assert [path.name for path in folder.iterdir()] == ["other"]
    assert holds_nothing(rpc)


def elsewhere(how: str, folder: Path) -> list[str]:
    """How to run a command that cannot write to the `folder` that we see.

    `covered`: in a mount namespace, where a tmpfs lies over it: as root, or where the system lets users have one.
    `stranger`: as another user, which only root can arrange.
    """
    if how == "stranger":
        if os.geteuid():
            pytest.skip("only root can become somebody else")
        return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True, timeout=10).returncode:
        pytest.skip("this system has no mount namespaces for us")
    return [*unshare, "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(folder)]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's namespaces")
@pytest.mark.parametrize("how", ["covered", "stranger"])
def test_a_daemon_that_does_not_write_to_our_folder(tmp_path: Path, make_rpc: MakeRpc, how: str) -> None:
    folder = tmp_path / "stage"
    folder.mkdir(mode=0o700)
    port = free_port()
    aria2c = [
        str(find_aria2c()),
        "--no-conf",
        "--enable-rpc",
        f"--rpc-listen-port={port}",
        "--quiet",
        "--enable-dht=false",
    ]
    process = subprocess.Popen([*elsewhere(how, folder), *aria2c], cwd="/", stdin=subprocess.DEVNULL)
    endpoint = Endpoint(f"http://127.0.0.1:{port}/jsonrpc")
    try:
        rpc = make_rpc(endpoint)
        _until_it_answers(rpc)
        assert not rpc.writes_into(folder)
        assert list(folder.iterdir()) == []
        assert holds_nothing(rpc)
        with pytest.raises(DaemonError, match="does not write to this disk"):
            RunningDaemon(endpoint).check(folder)
    finally:
        process.kill()
        process.wait(10)


def _until_it_answers(rpc: Rpc) -> None:
    for _ in range(500):
        try:
            rpc.version()
        except DaemonError:
            time.sleep(0.01)
        else:
            return
    raise AssertionError("aria2c did not start")
