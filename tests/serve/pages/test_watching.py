"""What a running server shows: who may look, its health, its log, and what it tells a service manager."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, until
from tests.serve.access.tokens import NewTokens
from tests.serve.conftest import Users, assert_unseen
from tests.serve.servers import CANARY, Client, Server

BIG = "big.safetensors"
FILES: dict[str, Any] = {"config.json": b"{}"}
PAGES = ("/", "/-/events", "/metrics")


@pytest.fixture
def tokens(machine: Machine) -> NewTokens:
    return NewTokens(machine)


@pytest.fixture
def closed(machine: Machine, hub: LoopbackHub, tokens: NewTokens) -> Iterator[Server]:
    """A server that asks for tokens."""
    tokens.make("all")
    tokens.make("team", "--namespace", "team")
    made = Server.start(machine, "--no-mirrors", "--auth", "tokens", "--access-log", str(machine.home / "access.log"))
    yield made
    made.stop()
    assert_unseen(machine, hub, *tokens.texts)


def status(user: Client, path: str, *words: str) -> int:
    """The status of an answer; of events the first one is enough."""
    done = user.run("curl", "-s", "-o", "body", "-w", "%{http_code}", "--max-time", "3", *words, user.url + path)
    return int(done.stdout)


def body(user: Client) -> str:
    return (user.folder / "body").read_text()


def log_in(user: Client, token: str) -> int:
    return status(user, "/-/login", "-b", "jar", "-c", "jar", "--data-urlencode", f"token={token}")


def test_without_a_token_there_is_a_form_and_no_figure(closed: Server, users: Users) -> None:
    user = users(closed)
    assert [status(user, path) for path in PAGES] == [401, 401, 401]
    assert status(user, "/") == 401
    assert 'type="password"' in body(user)
    assert status(user, "/healthz") == 200
    assert status(user, "/readyz") == 200
    assert json.loads(body(user)) == {"status": "ready"}


def test_a_token_for_everything_sees_everything(closed: Server, users: Users, tokens: NewTokens) -> None:
    user = users(closed)
    everything, team = tokens.texts[:2]
    shown, narrow = ("-H", f"Authorization: Bearer {everything}"), ("-H", f"Authorization: Bearer {team}")
    assert [status(user, path, *shown) for path in PAGES] == [200, 200, 200]
    assert [status(user, path, *narrow) for path in PAGES] == [401, 403, 403]
    assert status(user, "/readyz", *shown) == 200
    assert [check["is_ok"] for check in json.loads(body(user))["checks"]] == [True] * 4


def test_a_browser_logs_in_until_the_token_is_revoked(
    closed: Server, users: Users, tokens: NewTokens, machine: Machine
) -> None:
    user = users(closed)
    assert log_in(user, "gla_wrong") == 403
    assert log_in(user, tokens.texts[1]) == 403
    assert log_in(user, tokens.texts[0]) == 303
    (cookie,) = [line for line in (user.folder / "jar").read_text().splitlines() if "glm_aria_session" in line]
    assert cookie.startswith("#HttpOnly_")
    assert tokens.texts[0] not in cookie
    assert [status(user, path, "-b", "jar") for path in PAGES] == [200, 200, 200]
    # It opens the page, and nothing that a page elsewhere could make a browser do.
    assert status(user, "/api/models/org/m", "-b", "jar") == 401
    machine.run("token", "revoke", "all").ended(0)
    assert until(lambda: status(user, "/", "-b", "jar") == 401, 20)


def test_a_closed_repo_is_named_to_who_may_read_it(machine: Machine, make_hub: MakeHub, users: Users) -> None:
    make_hub(Repo("model", "org/m", FILES), Repo("model", "org/secret", FILES, gated="auto"), opens=["org/secret"])
    for name in ("org/m", "org/secret"):
        machine.run("pull", name, "--root", machine.root, "--no-mirrors").ended(0)
    tokens = NewTokens(machine)
    server = Server.start(machine, "--no-mirrors")
    user = users(server)

    def repos(*words: str) -> list[str]:
        assert status(user, "/-/events", *words) == 200
        return [repo["name"] for repo in json.loads(body(user).splitlines()[0].removeprefix("data: "))["repos"]]

    assert repos() == ["org/m"]
    assert status(user, "/-/login") == 200
    assert log_in(user, tokens.make("operator", "--restricted")) == 303
    assert sorted(repos("-b", "jar")) == ["org/m", "org/secret"]
    server.stop()


def test_a_link_leads_to_the_page_and_to_nothing_that_fetches(server: Server, users: Users) -> None:
    user = users(server)
    link = [word for header in ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
            for word in ("-H", header)]  # fmt: skip
    assert status(user, "/", *link) == 200
    for path in ("/-/events", "/metrics", "/org/m/resolve/main/config.json"):
        assert status(user, path, *link) == 403


def test_a_page_says_what_a_browser_may_do_with_it(server: Server, users: Users) -> None:
    user = users(server)
    head = user.run("curl", "-sI", user.url + "/").stdout.lower()
    assert user.run("curl", "-sI", "--max-time", "20", user.url + "/-/events").returncode == 0
    assert "content-security-policy: default-src 'self';" in head
    assert "frame-ancestors 'none'" in head
    assert "cache-control: no-store" in head
    assert [status(user, path) for path in ("/-/nothing", "/-/../etc/passwd", "/favicon.ico")] == [404] * 3
    assert status(user, "/metrics", "-X", "POST") == 405


def test_below_a_prefix_everything_has_it(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    server = Server.start(machine, "--no-mirrors", "--prefix", "/hf")
    user = users(server)
    assert status(user, "") == 200
    page = body(user)
    assert 'href="/hf/-/dashboard.css"' in page
    assert f"export HF_ENDPOINT={server.url}\n" in page
    assert status(user, "/-/dashboard.css") == 200
    server.stop()


def test_a_mirror_that_lies_is_named_and_what_it_sent_is_counted(
    machine: Machine, make_hub: MakeHub, users: Users
) -> None:
    right = generate(12 << 20, 3)
    hub = make_hub(Repo("model", "org/m", {BIG: right}))
    liar = hub.mirror("liar", faults=[Fault("substitute", BIG)])
    hub.faces["cdn"].shape = liar.face.shape = Shape(total_rate=6e6)
    server = Server.start(machine, "--mirror", liar.url)
    user = users(server)
    assert user.get(f"/org/m/resolve/main/{BIG}") == right
    name = urlsplit(liar.url).netloc

    def shown() -> dict[str, Any]:
        assert status(user, "/-/events") == 200
        return dict(json.loads(body(user).splitlines()[0].removeprefix("data: ")))

    assert until(lambda: "mirror-lied" in [one["code"] for one in shown()["news"]], 20)
    (source,) = [one for one in shown()["sources"] if one["name"] == name]
    assert source["sent"] > 0
    assert source["is_quarantined"]
    assert status(user, "/metrics") == 200
    found = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in body(user).splitlines() if line[0] != "#"
    }
    assert found[f'glm_aria_lies_total{{source="{name}"}}'] == 1
    assert found["glm_aria_egress_ratio"] > 1
    assert sum(found[key] for key in found if 'direction="in"' in key) > len(right)
    server.stop()


def test_a_root_that_is_down_is_told_and_the_server_stays_ready(server: Server, users: Users, hub: LoopbackHub) -> None:
    user = users(server)
    user.get("/org/m/resolve/main/config.json")
    hub.stop_face("hub")
    assert status(user, "/org/new/resolve/main/config.json", "--max-time", "60") >= 400

    def is_told() -> bool:
        assert status(user, "/readyz") == 200
        return {check["name"]: check["is_ok"] for check in json.loads(body(user))["checks"]}["root"] is False

    assert until(is_told, 20)


def test_a_cache_that_cannot_be_written_is_not_ready(server: Server, users: Users, machine: Machine) -> None:
    user = users(server)
    (stage,) = [path for path in machine.home.rglob("stage") if path.is_dir()]
    away = stage.with_name("away")
    stage.rename(away)
    try:
        assert until(lambda: status(user, "/readyz") == 503, 20)
        assert "stage" in body(user)
    finally:
        if stage.is_dir():
            shutil.rmtree(stage)
        away.rename(stage)
    assert until(lambda: status(user, "/readyz") == 200, 20)


def test_each_request_is_a_line_without_its_query(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    log = machine.home / "access.log"
    server = Server.start(machine, "--no-mirrors", "--access-log", str(log))
    user = users(server)
    status(user, f"/org/hf_abcdefghijklmnop/resolve/main/x?a={CANARY}")
    found: list[str] = []
    while "hit" not in found:  # it is placed a moment after the client has it
        user.get(f"/org/m/resolve/main/config.json?token={CANARY}")
        refused, *lines = [json.loads(line) for line in log.read_text().splitlines()]
        found = [line["found"] for line in lines]
    server.stop()
    assert (refused["path"], refused["status"]) == ("/org/hf_***/resolve/main/x", 404)
    assert found[0] == "miss"
    assert {(line["path"], line["status"], line["bytes"]) for line in lines} == {
        ("/org/m/resolve/main/config.json", 200, 2)
    }
    assert CANARY not in log.read_text()


def test_a_log_to_stdout_leaves_no_room_for_a_document(machine: Machine) -> None:
    machine.run("serve", "--json", "--access-log", "-").ended(2)


def test_a_service_manager_hears_that_it_is_ready_and_lives(machine: Machine, hub: LoopbackHub, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        server = Server.start(machine, "--no-mirrors", env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"})
        heard: list[str] = []
        while not ("READY=1" in heard and heard.count("WATCHDOG=1") >= 3):
            heard += manager.recv(4096).decode().splitlines()
        server.stop()
        while "STOPPING=1" not in heard:
            heard += manager.recv(4096).decode().splitlines()
    assert any(word.startswith("STATUS=0 requests") for word in heard)


def test_one_client_cannot_take_all_events(server: Server, users: Users) -> None:
    at = urlsplit(server.url)
    with ExitStack() as stack:

        def look(source: str) -> bytes:
            made = stack.enter_context(socket.create_connection((at.hostname, at.port), 20, (source, 0)))
            made.sendall(b"GET /-/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return made.recv(12)

        assert {look("127.0.0.2") for _ in range(8)} == {b"HTTP/1.1 200"}
        assert look("127.0.0.2") == b"HTTP/1.1 429"
        assert look("127.0.0.1") == b"HTTP/1.1 200"


def test_a_form_is_short(server: Server, users: Users) -> None:
    assert log_in(users(server), "a" * 10_000) == 413
