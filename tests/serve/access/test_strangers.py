"""What strangers try at a real server."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.fuzz.requests import exchanged
from tests.fuzz.test_serve import trap
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.wire import Reply, Request
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, until
from tests.serve.access.tokens import NewTokens
from tests.serve.conftest import Users
from tests.serve.servers import Server, together

BIG = generate(3 << 20, 3)
FILES = {"config.json": b"{}", "big.safetensors": BIG}


@pytest.fixture
def repo() -> Repo:
    return Repo("model", "org/m", FILES)


def get(server: Server, path: str, **headers: str) -> requests.Response:
    return requests.get(f"{server.url}{path}", headers=headers, timeout=30)


def test_a_page_that_leads_a_browser_here_reads_nothing(machine: Machine, hub: LoopbackHub) -> None:
    """DNS rebinding: the browser believes that it asks the page's own site."""
    server = Server.start(machine, "--no-mirrors", "--host", "hub.lab")
    for path in ("/org/m/resolve/main/config.json", "/api/models/org/m", "/metrics", "/"):
        assert get(server, path, Host="evil.example").status_code == 421
    assert not hub.log.requests()
    for name in ("hub.lab", "HUB.lab:80", "localhost"):
        assert get(server, "/org/m/resolve/main/config.json", Host=name).content == b"{}"
    server.stop()


def test_no_request_leads_the_server_to_a_host_of_its_choice(server: Server, hub: LoopbackHub) -> None:
    with trap() as somebody:
        at = somebody.address
        targets = [f"http://{at}/api/models/org/m", f"//{at}/x", f"/{at}/m/resolve/main/x", f"/api/models/@{at}/m", at]
        targets += [
            f"/api/models/org%2F..%2F..%2F{at}",
            f"/org/m/resolve/main/http:%2F%2F{at}%2Fx",
            f"/.{at}/m/resolve/a/b",
        ]
        targets += [
            f"/api/models/org/m?url=http://{at}",
            f"/api/models/org%40{at}/m",
            f"/api/models/org/m/commits/%23@{at}",
        ]
        for target in targets:
            for header in ("X", "X-Forwarded-Host", "Forwarded", "Referer", "Origin", "X-Original-URL"):
                request = (
                    f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{header}: http://{at}\r\nConnection: close\r\n\r\n"
                )
                answer, has_ended = exchanged(server.url, request.encode(), is_whole=True)
                assert has_ended
                assert answer[9:12] < b"500", answer
        assert not somebody.callers
    host = hub.url.partition("//")[2]
    assert {seen.headers.get("host", host) for seen in hub.log.requests()} == {host}


def test_what_a_repo_holds_is_no_page_of_ours(machine: Machine, make_hub: MakeHub) -> None:
    hub = make_hub(Repo("model", "org/page", {"index.html": b"<script>alert(1)</script>", "a.svg": b"<svg onload=x>"}))
    server = Server.start(machine, "--no-mirrors")
    for name in ("index.html", "a.svg"):
        answer = get(server, f"/org/page/resolve/main/{name}")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert hub.log.requests()
    server.stop()


def test_a_name_in_other_letters_is_another_repo(server: Server, repo: Repo) -> None:
    assert get(server, "/org/m/resolve/main/config.json").status_code == 200
    for name in ("ORG/m", "org/M", "org/m%00", "org/.%2Fm"):
        for revision in ("main", repo.head):
            assert get(server, f"/{name}/resolve/{revision}/config.json").status_code == 404


@pytest.mark.parametrize("kind", ["fifo", "folder", "link out", "device"])
def test_what_somebody_put_into_the_place_of_a_blob_is_not_sent(
    kind: str, server: Server, machine: Machine, tmp_path: Path
) -> None:
    path = "/org/m/resolve/main/big.safetensors"
    assert get(server, path).content == BIG
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * len(BIG))
    blob = machine.cache / "models--org--m" / "blobs" / hashlib.sha256(BIG).hexdigest()
    assert until(blob.exists, 20)
    blob.unlink()
    makers: dict[str, Any] = {
        "fifo": lambda: os.mkfifo(blob),
        "folder": blob.mkdir,
        "link out": lambda: blob.symlink_to(secret),
        "device": lambda: blob.symlink_to("/dev/zero"),
    }
    makers[kind]()
    with suppress(requests.exceptions.ChunkedEncodingError):  # broken off
        answer = get(server, path)
        assert answer.status_code >= 400 or answer.content == BIG
    assert get(server, "/org/m/resolve/main/config.json").content == b"{}"


@pytest.fixture
def waiting(hub: LoopbackHub) -> Iterator[tuple[threading.Semaphore, threading.Event]]:
    """A root that is asked, and answers when it may."""
    asked, may_answer = threading.Semaphore(0), threading.Event()

    def keep(_: Request, reply: Reply) -> Reply:
        asked.release()
        may_answer.wait(60)
        return reply

    hub.rewrite(keep)
    yield asked, may_answer
    may_answer.set()


def test_a_client_behind_a_proxy_has_limits_of_its_own(
    machine: Machine, hub: LoopbackHub, users: Users, waiting: tuple[threading.Semaphore, threading.Event]
) -> None:
    env = {"GLM_ARIA_SERVE_CLIENT_CONNECTIONS": "2"}
    server = Server.start(machine, "--no-mirrors", "--trusted-proxy", "127.0.0.1", env=env)
    user, (asked, may_answer) = users(server), waiting
    one, other = "X-Forwarded-For: 6.6.6.6, 10.0.0.1", "X-Forwarded-For: 6.6.6.6, 10.0.0.2"
    kept = [
        user.start("curl", "-sS", "-H", one, f"{server.url}/org/other-{number}/resolve/main/a") for number in range(2)
    ]
    assert asked.acquire(timeout=20)
    told = {"X-Forwarded-For": one.partition(": ")[2]}
    assert until(lambda: get(server, "/metrics", **told).status_code == 429, 20)
    assert get(server, "/org/none", **told).headers["Retry-After"] == "1"
    assert get(server, "/metrics", **{"X-Forwarded-For": other.partition(": ")[2]}).status_code == 200
    may_answer.set()
    together(kept)
    server.stop()


@pytest.mark.parametrize("limit", ["line", "client"])
def test_a_limit_of_speed_holds(limit: str, machine: Machine, hub: LoopbackHub) -> None:
    """Three megabytes at one a second take two seconds at least."""
    words = ("--max-speed", "1M") if limit == "line" else ()
    env = {"GLM_ARIA_SERVE_CLIENT_SPEED": "1M"} if limit == "client" else {}
    server = Server.start(machine, "--no-mirrors", *words, env=env)
    began = time.monotonic()
    assert get(server, "/org/m/resolve/main/big.safetensors").content == BIG
    assert time.monotonic() - began > 2
    server.stop()


def test_half_open_connections_do_not_keep_anybody_out(server: Server) -> None:
    address = server.url.partition("//")[2].split(":")
    held = [socket.create_connection((address[0], int(address[1]))) for _ in range(300)]
    try:
        for one in held:
            one.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert get(server, "/org/m/resolve/main/config.json").content == b"{}"
    finally:
        for one in held:
            one.close()


def test_nobody_sends_a_long_body_who_may_not_read(machine: Machine, hub: LoopbackHub) -> None:
    """It would be kept in memory until it is whole."""
    NewTokens(machine).make("all")
    server = Server.start(machine, "--no-mirrors", "--auth", "tokens")
    at = urlsplit(server.url)
    with socket.create_connection((at.hostname, at.port), 20) as asking:
        asking.sendall(
            b"POST /api/models/org/m/paths-info/main HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n["
        )
        assert asking.recv(12) == b"HTTP/1.1 401"
    server.stop()
