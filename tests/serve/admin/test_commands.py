"""Commands to a server that runs: who may give them."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.servers import RunningServer, running_servers
from tests.machine.machine import Machine
from tests.serve.conftest import Users
from tests.serve.servers import Client, Server

FILES = {"config.json": b"{}"}


def of(machine: Machine) -> RunningServer:
    """The server of the machine, as programs of its user find it."""
    (found,) = running_servers([Path(machine.env["XDG_RUNTIME_DIR"]) / "glm-aria"])
    return found


def status(user: Client, path: str, *words: str) -> str:
    """The status of an answer, whose body is dropped."""
    return user.run("curl", "-sS", "-o", "got", "-w", "%{http_code}", *words, user.url + path).stdout


def test_a_server_says_where_it_is_and_obeys_its_user_alone(server: Server, machine: Machine, users: Users) -> None:
    found = of(machine)
    assert found.url == server.url
    user = users(server)
    word = ("-H", f"Authorization: Bearer {found.token}")
    said = json.loads(user.get("/api/admin/state", *word))
    assert said["cache_dir"] == str(machine.cache)
    assert said["arriving"] == []
    assert status(user, "/api/admin/state") == "401"
    assert status(user, "/api/admin/state", "-H", "Authorization: Bearer x") == "401"
    assert status(user, "/api/admin/state", *word, "-H", "Sec-Fetch-Site: cross-site") == "403"
    assert status(user, "/api/admin/state", *word, "-d", "{}") == "405"
    assert status(user, "/api/admin/nothing", *word) == "404"
    server.stop()
    assert running_servers([Path(machine.env["XDG_RUNTIME_DIR"]) / "glm-aria"]) == ()
