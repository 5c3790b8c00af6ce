"""`--proxy`: all goes through it, from Python and from aria2c. The host names below mean something to it alone."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import MakeHub, wanted
from tests.e2e.machine import Machine, content
from tests.support.repos import Repo


class _Forward(http.server.BaseHTTPRequestHandler):
    """Forwards plain http to this machine, whatever the host is called."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.asked.append((self.command, parts.hostname, self.headers.get("User-Agent", "")))  # type: ignore[attr-defined]
        upstream = HTTPConnection("127.0.0.1", parts.port or 80, timeout=20)
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        upstream.request(self.command, f"{parts.path}?{parts.query}" if parts.query else parts.path, headers=headers)
        answer = upstream.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.read())
        upstream.close()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Forward)
    server.daemon_threads = True
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_all_goes_through_the_proxy(
    machine: Machine, make_hub: MakeHub, tiny: Repo, proxy: http.server.ThreadingHTTPServer, how: str
) -> None:
    hub = make_hub(tiny)
    hub.faces["hub"].host, hub.faces["cdn"].host = "hub.example.test", "cdn.example.test"
    machine.root = hub.url
    address = f"http://127.0.0.1:{proxy.server_port}"
    if how == "flag":
        done = machine.pull("org/tiny", "--proxy", address).ended(0)
    else:
        done = machine.pull("org/tiny", env={"HTTP_PROXY": address, "http_proxy": address}).ended(0)
    assert done.warnings == ["plain-http"]
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)
    asked = proxy.asked  # type: ignore[attr-defined]
    assert {host for _, host, _ in asked} == {"hub.example.test", "cdn.example.test"}
    assert hub.log.tokens() == set(), "the token went over plain http"


def test_a_proxy_that_is_down(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    hub.faces["hub"].host = "hub.example.test"
    machine.root = hub.url
    machine.pull("org/tiny", "--proxy", "http://127.0.0.1:9").ended(69)
