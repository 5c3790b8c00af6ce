"""Followers of one set that share its download with a fleet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desired.following import Site, expected
from tests.machine.machine import Machine
from tests.swarm.control.fleets import Nodes, model, slow_hub
from tests.swarm.control.processes import SchedulerProcess, belong

MOST = 1.05


@pytest.fixture
def nodes(tmp_path: Path, machine: Machine) -> Iterator[Nodes]:
    """Three machines, and a slow origin."""
    repo = model(24 << 20)
    with slow_hub(repo, 3, machine.token) as hub:
        made = Nodes.made(tmp_path, hub, repo, 3)
        yield made
        made.end()


@pytest.fixture
def scheduler(machine: Machine) -> Iterator[SchedulerProcess]:
    belong(machine)
    made = SchedulerProcess.start(machine)
    yield made
    made.stop()


def test_followers_of_one_set_fetch_one_copy_also_when_they_come_at_different_times(
    nodes: Nodes, scheduler: SchedulerProcess, machine: Machine, tmp_path: Path
) -> None:
    """Two begin together. A third comes when both have had the set for a while; what one loses it gets from them."""
    state = tmp_path / "desired.toml"
    state.write_text(f'[[model]]\nref = "{nodes.repo.name}"\nas = "m"\n')
    where = ("--scheduler", scheduler.address, "--listen", "127.0.0.1:0", "--no-mirrors")
    sites = [Site(one, "--follow", str(state), *where) for one in nodes.machines]
    whole = expected(nodes.repo, names={nodes.repo.name: "m"})
    for site in sites[:2]:
        site.start()
    for site in sites[:2]:
        site.becomes(lambda status: status["phase"] == "ready", 90)
        assert site.seen() == whole
    assert nodes.egress <= MOST
    sites[2].start()
    sites[2].becomes(lambda status: status["phase"] == "ready", 60)
    assert sites[2].seen() == whole
    assert nodes.egress <= MOST
    Path(os.path.realpath(sites[0].sets / "current" / "models" / "m" / "model.safetensors")).unlink()
    sites[0].becomes(lambda status: status["drift"] == 1, 30)
    sites[0].becomes(lambda status: status["phase"] == "ready", 60)
    assert sites[0].seen() == whole
    assert nodes.egress <= MOST
    words = ("fleet", "ls", "--scheduler", scheduler.address, "--json")
    listed = machine.run(*words).ended(0).document["data"]
    assert [task["state"] for task in listed["tasks"]] == ["done"]
    assert len(listed["nodes"]) == len(sites)
    for site in sites:
        site.stop()
