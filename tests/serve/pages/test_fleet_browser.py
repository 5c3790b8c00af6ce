"""A fleet on the page of a server, in a real Chromium: real nodes and their scheduler, seen while they fetch."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.hub.shaping import Shape
from tests.machine.machine import Machine, until
from tests.serve.access.tokens import NewTokens
from tests.serve.pages.browser import Page, browser
from tests.serve.servers import Server
from tests.swarm.control.fleets import Nodes, model, slow_hub
from tests.swarm.control.processes import KEY, SchedulerProcess, belong

COUNT = 3
SLOW = 3e6
"""Bytes per second of the origin, until everything was looked at."""
MAP = "document.getElementById('fleet-map')"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def nodes(tmp_path: Path, machine: Machine) -> Iterator[Nodes]:
    """Three machines with a slow origin; the machine of the scheduler and of the server belongs to their fleet."""
    belong(machine)
    with slow_hub(repo := model(), COUNT, machine.token) as hub:
        machine.root = hub.url
        made = Nodes.made(tmp_path, hub, repo, COUNT)
        yield made
        made.end()


def cells(page: Page) -> list[list[str]]:
    """The map, by its rows: its heads too."""
    return list(page.value(f"[...{MAP}.rows].map(row => [...row.cells].map(cell => cell.innerText))"))


def test_a_fleet_is_seen_while_it_fetches(nodes: Nodes, machine: Machine, page: Page) -> None:
    scheduler = SchedulerProcess.start(machine)
    server = Server.start(machine, "--no-mirrors", "--scheduler", scheduler.address)
    page.resize(1280, 1400)
    page.open(f"{server.url}/")
    page.wait("document.getElementById('state').className === 'live'")
    page.wait("document.getElementById('fleet').checkVisibility()")
    assert page.texts("#fleet-nodes-none") == ["No node is connected."]
    for face in nodes.hub.faces.values():
        face.shape = Shape(total_rate=SLOW)
    running = nodes.pulls(scheduler.address)
    page.wait(f"document.querySelectorAll('#fleet-nodes tbody tr').length === {COUNT}")
    page.wait(f"document.querySelectorAll('#fleet-map td.moving').length >= {COUNT}")
    assert page.texts("#fleet-tasks tbody td:first-child") == [f"{nodes.repo.name}@main"]
    assert page.value("document.querySelector('#fleet-tasks progress').value") > 0
    # The map has a column for each node, and a row for each and for what is outside.
    found = cells(page)
    names = page.texts("#fleet-nodes tbody td:first-child")
    assert found[0][1:-1] == sorted(names)
    assert [row[0] for row in found[1:]] == ["outside of the fleet", *sorted(names)]
    page.value("document.querySelector('.scroll').focus()")
    assert page.value("document.activeElement.className") == "scroll"
    for face in nodes.hub.faces.values():
        face.shape = Shape()
    nodes.ended(running)
    page.wait("document.querySelector('#fleet-tasks td:nth-child(2)').innerText === 'done'")
    page.wait("/^1\\.[0-2]/.test(document.querySelector('#fleet-tasks td:nth-child(4)').innerText)")
    assert nodes.egress <= 1.2  # other tests hold it to 1.05
    page.resize(360, 740)
    assert page.value("document.documentElement.scrollWidth") == 360
    assert page.problems == []
    text = requests.get(f"{server.url}/metrics", timeout=20).text
    assert "glm_aria_fleet_up 1.0" in text
    assert 'glm_aria_node_state{state="ready"}' in text
    (line,) = [line for line in text.splitlines() if line.startswith("glm_aria_fleet_egress_ratio")]
    assert 0.99 <= float(line.split()[1]) <= 1.05
    # The scheduler goes away: the page says so, and serves on.
    scheduler.stop()
    page.wait("document.getElementById('fleet-error').innerText.includes('scheduler')")
    page.wait("!document.getElementById('fleet-map').checkVisibility()")
    assert KEY not in server.shown()
    server.stop()


def test_who_may_not_look_learns_no_name(nodes: Nodes, machine: Machine) -> None:
    scheduler = SchedulerProcess.start(machine)
    tokens = NewTokens(machine)
    viewer, bound = tokens.make("viewer"), tokens.make("bound", "--namespace", "org")
    server = Server.start(machine, "--no-mirrors", "--auth", "tokens", "--scheduler", scheduler.address)
    node = nodes.machines[0].start("node", "--scheduler", scheduler.address, "--listen", "127.0.0.1:0")
    assert node.process.stdout
    name = node.process.stdout.readline().strip()

    def seen(token: str | None) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with requests.get(f"{server.url}/-/events", headers=headers, timeout=20, stream=True) as answer:
            return answer.status_code, next(answer.iter_lines(decode_unicode=True), "")

    assert until(lambda: name in seen(viewer)[1], 30)
    for token in (None, bound):
        status, said = seen(token)
        assert status in (401, 403)
        assert name not in said
        assert name not in requests.get(f"{server.url}/metrics", timeout=20).text
    node.signal(signal.SIGTERM)
    node.end(30).ended(0)
    server.stop()
    scheduler.stop()


def test_a_server_without_the_key_says_what_it_lacks(machine: Machine) -> None:
    machine.root = "http://127.0.0.1:9"
    server = Server.start(machine, "--no-mirrors", "--scheduler", "127.0.0.1:9")
    with requests.get(f"{server.url}/-/events", timeout=20, stream=True) as answer:
        assert "no fleet key" in next(answer.iter_lines(decode_unicode=True))
    server.stop()
