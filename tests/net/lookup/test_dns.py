"""Names through resolvers of one's own: real name servers and a real https server on loopback, and the real aria2c."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import MaxRetryError, NameResolutionError

from orchestrator.core.network.resolvers import NameServer
from orchestrator.errors import TrustError
from orchestrator.net.lookup.dns import Resolver, ask, looking_up
from orchestrator.net.session import Net
from orchestrator.templating import render
from tests.hub.certificates import make_certificate, server_context
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.servers.nameserver import Nameserver, nameserver

NAME = "hub.test"


def server(found: Nameserver) -> NameServer:
    return NameServer(found.address, found.port)


def test_one_dies_and_is_asked_last_from_then_on() -> None:
    names = {f"{n}.hub.test": ("127.0.0.1",) for n in range(3)}
    with nameserver(names) as one, nameserver(names, delay_s=0.02) as other:
        resolver = Resolver([server(one), server(other)], patience=0.3)
        assert resolver.lookup("0.hub.test") == ("127.0.0.1",)
        assert other.asked == []
        one.silent = True
        assert resolver.lookup("1.hub.test") == ("127.0.0.1",)
        assert resolver.order[0] == server(other)
        asked = len(one.asked)
        assert resolver.lookup("2.hub.test") == ("127.0.0.1",)
        assert len(one.asked) == asked
        assert resolver.lookup("2.hub.test") == ("127.0.0.1",)
        assert sum(name == "2.hub.test" for name, _ in other.asked) == 2, "A and AAAA, once: then it is known"


def test_a_private_answer_for_a_public_name_is_passed_over() -> None:
    name = "hub.example.com"
    with nameserver({name: ("10.0.0.1",)}) as liar, nameserver({name: ("8.8.4.4",)}) as honest:
        resolver = Resolver([server(liar), server(honest)])
        assert resolver.lookup(name) == ("8.8.4.4",)
        assert resolver.order[0] == server(honest)
        # A network whose resolvers all say so has a view of its own.
        assert Resolver([server(liar)]).lookup(name) == ("10.0.0.1",)


def test_what_no_resolver_knows_is_left_to_the_system() -> None:
    with nameserver({}) as empty:
        resolver = Resolver([server(empty)])
        with pytest.raises(OSError, match=r".*"):
            resolver.lookup("nowhere.invalid")
        assert resolver.lookup("localhost")
        assert "localhost" not in [name for name, _ in empty.asked]
        reply, _ = ask(server(empty), "nowhere.test")
        assert (reply.addresses, reply.error) == ((), None)


@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_one_kind_of_question_that_is_dropped_does_not_cost_the_other(kind: str) -> None:
    """As boxes on the way do with AAAA. One after the other, the silence of the first would use up the patience."""
    with nameserver({NAME: ("127.0.0.1",)}) as names:
        names.drops = kind
        reply, _ = ask(server(names), NAME, 0.3)
    assert reply.addresses == (("127.0.0.1",) if kind == "AAAA" else ())
    assert reply.error is None


def test_requests_go_where_the_resolver_says(hub: LoopbackHub) -> None:
    url = hub.url.replace("127.0.0.1", NAME)
    with nameserver({NAME: ("127.0.0.1",)}) as names:
        resolver = Resolver([server(names)])
        with Net(lookup=resolver.lookup) as net:
            assert net.get_json(f"{url}/api/models/org/m").status == 200
            assert net.shake_hands(f"{url}/") is not None
    assert (NAME, "A") in names.asked


@pytest.mark.parametrize("kind", [HTTPConnection, HTTPSConnection])
def test_urllib3_still_has_what_is_overridden(kind: type[HTTPConnection]) -> None:
    """None of it is public, so another urllib3 may do it in another way; then names would go past our resolvers."""
    assert list(inspect.signature(kind._new_conn).parameters) == ["self"]
    assert kind("name.", 1)._dns_host == "name."
    assert "_new_conn()" in inspect.getsource(kind.connect)
    manager = HTTPAdapter().poolmanager
    assert manager.pool_classes_by_scheme == {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
    pool: Any = {HTTPConnection: HTTPConnectionPool, HTTPSConnection: HTTPSConnectionPool}[kind]
    assert issubclass(pool.ConnectionCls, kind)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_every_direct_connection_asks_the_lookup(scheme: str) -> None:
    asked = []

    def lookup(host: str) -> tuple[str, ...]:
        asked.append(host)
        raise OSError("nobody knows it")

    adapter = looking_up(HTTPAdapter(), lookup)
    with pytest.raises(MaxRetryError) as caught:
        adapter.poolmanager.connection_from_url(f"{scheme}://{NAME}:1").urlopen("GET", "/", retries=0)
    assert isinstance(caught.value.reason, NameResolutionError)
    assert asked == [NAME]


def test_tls_is_checked_against_the_name(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, names=f"DNS:{NAME}")
    with (
        LoopbackHub([Repo("model", "org/m", {"a": b"b"})], tls=server_context(certificate, key)) as hub,
        nameserver({NAME: ("127.0.0.1",), "other.test": ("127.0.0.1",)}) as names,
        Net(lookup=Resolver([server(names)]).lookup, ca_bundle=certificate) as net,
    ):
        assert net.get_json(hub.url.replace("127.0.0.1", NAME) + "/api/models/org/m").status == 200
        with pytest.raises(TrustError):
            net.get_json(hub.url.replace("127.0.0.1", "other.test") + "/api/models/org/m")


def test_aria2_is_told_in_its_configuration() -> None:
    values = {
        "port": 1,
        "secret": "s",
        "owner_pid": None,
        "concurrency": 1,
        "max_speed": 0,
        "receive_buffer": None,
        "ca_bundle": None,
    }
    values |= {"log_level": "error", "open_files": 1024}
    text = render("daemon.conf", **values, resolvers=("1.1.1.1", "8.8.8.8"))
    assert "\nasync-dns=true\nasync-dns-server=1.1.1.1,8.8.8.8\n" in text
    assert "async-dns" not in render("daemon.conf", **values, resolvers=())


_INSIDE = """
import http.server, subprocess, sys, threading
from pathlib import Path
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
# aria2 asks for IPv4 addresses only where it has one beside 127.0.0.1.
subprocess.run(["ip", "address", "add", "10.9.9.1/24", "dev", "lo"], check=True)
from tests.servers.nameserver import nameserver
from orchestrator.aria2.daemon import PrivateDaemon
folder = Path(sys.argv[1])
(folder / "served").mkdir()
(folder / "served" / "file").write_bytes(b"bytes")
handler = lambda *a: http.server.SimpleHTTPRequestHandler(*a, directory=str(folder / "served"))
web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
threading.Thread(target=web.serve_forever, daemon=True).start()
with nameserver({"hub.test": ("127.0.0.1",)}, port=53, address="127.0.0.2") as names:
    # Nobody listens at the first: aria2 goes on to the second.
    with PrivateDaemon(folder / "run", concurrency=1, resolvers=("127.0.0.3", "127.0.0.2")) as daemon:
        endpoint = daemon.start()
        import requests, time
        def call(method, *params):
            params = ["token:" + endpoint.secret, *params]
            asked = {"jsonrpc": "2.0", "id": 1, "method": "aria2." + method, "params": params}
            return requests.post(endpoint.url, json=asked, timeout=5).json()["result"]
        gid = call("addUri", [f"http://hub.test:{web.server_port}/file"], {"dir": str(folder), "out": "got"})
        deadline = time.monotonic() + 20
        while (state := call("tellStatus", gid))["status"] in ("active", "waiting") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert state["status"] == "complete", state
    assert ("hub.test", "A") in names.asked, names.asked
assert (folder / "got").read_bytes() == b"bytes"
"""


def _may_make_a_network() -> bool:
    words = ["unshare", "-rn", "ip", "link", "set", "lo", "up"]
    tools = shutil.which("unshare") and shutil.which("ip")
    return bool(tools) and subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _may_make_a_network(), reason="this machine lets nobody make a network namespace")
def test_aria2_asks_them(tmp_path: Path) -> None:
    repository = Path(__file__).parents[2]
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", _INSIDE, str(tmp_path)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
