"""Servers of this user as the doctor sees them: the rules with plain values, and a server that runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.doctor.own_servers import NamedEndpoint, OwnServers, SeenServer, findings_of
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, _no_proxies, machine, make_hub  # noqa: F401 - fixtures
from tests.machine.machine import Machine
from tests.serve.servers import Server
from tests.servers.ports import free_port

URL = "http://127.0.0.1:8090"
SERVER = SeenServer(URL, 7, "/cache")
WELL = OwnServers((SERVER,), NamedEndpoint(URL), "/cache", "https://huggingface.co")


def test_a_server_that_programs_ask_is_no_finding() -> None:
    assert list(findings_of(WELL)) == []
    assert list(findings_of(OwnServers())) == []


@pytest.mark.parametrize(
    ("seen", "code", "command"),
    [
        (OwnServers((), NamedEndpoint(URL, "refused")), "endpoint-dead", "unset HF_ENDPOINT"),
        (
            replace(WELL, endpoint=NamedEndpoint("http://10.0.0.9:1", "refused")),
            "endpoint-dead",
            f"export HF_ENDPOINT={URL}",
        ),
        (
            replace(WELL, endpoint=NamedEndpoint(URL, None, "http://proxy:3128")),
            "endpoint-by-proxy",
            'export NO_PROXY="${NO_PROXY:+$NO_PROXY,}127.0.0.1"',
        ),
        (replace(WELL, endpoint=None), "server-unused", f"export HF_ENDPOINT={URL}"),
        (
            replace(WELL, root="http://localhost:8090/"),
            "root-is-own-server",
            "export GLM_ARIA_ROOT=https://huggingface.co",
        ),
        (replace(WELL, cache_dir="/other"), "server-other-cache", "export HF_HUB_CACHE=/cache"),
        (replace(WELL, running=(replace(SERVER, is_ready=False, error="silent"),)), "server-silent", "kill 7"),
        (
            replace(WELL, running=(replace(SERVER, is_ready=False, troubles=(("disk", "full"),)),)),
            "server-not-ready",
            None,
        ),
        (replace(WELL, running=(replace(SERVER, troubles=(("root", "down"),)),)), "server-stale", None),
    ],
)
def test_a_mistake_and_what_to_type(seen: OwnServers, code: str, command: str | None) -> None:
    assert [(finding.code, finding.command) for finding in findings_of(seen)] == [(code, command)]


@pytest.fixture
def hub(make_hub: MakeHub) -> LoopbackHub:  # noqa: F811
    return make_hub(Repo("model", "org/m", {"config.json": b"{}"}))


def test_a_server_that_runs_is_found_and_a_dead_endpoint_named(machine: Machine, hub: LoopbackHub) -> None:  # noqa: F811
    def diagnosed(endpoint: str) -> tuple[Any, set[str]]:
        env = {"HF_ENDPOINT": endpoint, "GLM_ARIA_OFFLINE": "1"}
        found = machine.run("doctor", "--json", env=env).ended(0).document["data"]
        return found["servers"], {finding["code"] for finding in found["findings"]}

    server = Server.start(machine, "--no-mirrors")
    (seen,), codes = diagnosed(server.url)
    assert (seen["url"], seen["pid"], seen["is_ready"], seen["error"]) == (server.url, server.running.pid, True, None)
    assert seen["cache_dir"] == str(machine.cache)
    assert not codes & {"endpoint-dead", "server-unused", "server-other-cache", "server-silent"}
    assert "root-is-own-server" in codes
    _, codes = diagnosed(f"http://127.0.0.1:{free_port()}")
    assert "endpoint-dead" in codes
    server.stop()
    found, codes = diagnosed(server.url)
    assert found == []
    assert "endpoint-dead" in codes
