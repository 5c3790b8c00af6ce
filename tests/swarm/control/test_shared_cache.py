"""Nodes that share a cache: one of them fetches for it, and what it fetches counts once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.machine import Machine
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


def test_two_pulls_of_a_cache_cost_no_more_than_one(nodes: Nodes, machine: Machine) -> None:
    scheduler = SchedulerProcess.start(machine)
    results = nodes.ended(nodes.pulls(scheduler.address))
    assert nodes.egress <= 1.05
    # Two caches, and one copy from outside: one from a peer.
    assert 0.94 * nodes.size <= from_peers(results) <= 1.01 * nodes.size
    scheduler.stop()
