"""Nodes that share a cache: one of them fetches for it, and what it fetches counts once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.machine import Machine
from tests.servers.ports import free_port
from tests.swarm.control.fleets import Nodes, from_peers, model, slow_hub
from tests.swarm.control.processes import SchedulerProcess, belong


@pytest.fixture
def nodes(tmp_path: Path, machine: Machine) -> Iterator[Nodes]:
    """Two machines, each of which pulls twice at once into its cache."""
    belong(machine)
    repo = model()
    with slow_hub(repo, 2, machine.token) as hub:
        made = Nodes.made(tmp_path, hub, repo, 2)
        made.machines = [*made.machines, *made.machines]
        yield made
        made.end()


def test_without_control_two_pulls_of_a_cache_are_one_member(nodes: Nodes) -> None:
    ports = [free_port() for _ in nodes.machines]
    peers = [word for port in ports for word in ("--peer", f"127.0.0.1:{port}")]
    running = [
        one.start_pull(nodes.repo.name, *peers, "--peer-listen", f"127.0.0.1:{port}", "--no-mirrors")
        for one, port in zip(nodes.machines, ports, strict=True)
    ]
    results = nodes.ended(running)
    assert nodes.egress <= 1.1
    assert 0.89 * nodes.size <= from_peers(results) <= 1.01 * nodes.size


def test_two_pulls_of_a_cache_cost_no_more_than_one(nodes: Nodes, machine: Machine) -> None:
    scheduler = SchedulerProcess.start(machine)
    results = nodes.ended(nodes.pulls(scheduler.address))
    assert nodes.egress <= 1.05
    # Two caches, and one copy from outside: one from a peer.
    assert 0.94 * nodes.size <= from_peers(results) <= 1.01 * nodes.size
    scheduler.stop()
