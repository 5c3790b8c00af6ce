"""Models of a registry through a fleet: one copy of the bytes from it, and each machine's token at the server alone."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.machine.machine import Machine, Result, content
from tests.serve.registry.house import RegistryHouse, registry_house
from tests.swarm.control.fleets import from_peers
from tests.swarm.control.processes import KEY, SchedulerProcess, belong

COUNT = 3
MOST = 1.1
OLD = {"config.json": b"{}\n", "model.safetensors": Random(1).randbytes(24 << 20)}
NEW = {**OLD, "config.json": b'{"new": 1}\n', "adapter.safetensors": Random(2).randbytes(8 << 20)}
SHARED = {"GLM_ARIA_FLEET_SHARE_RESTRICTED": "1"}
_SENT = re.compile(r'http\.request\.uri="/v2/(\S+)/blobs/\S+".* http\.response\.written=(\d+)')


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryHouse]:
    with registry_house(tmp_path_factory.mktemp("fleet")) as house:
        house.person("boss", "--role", "admin")
        for number in range(COUNT):
            house.person(f"node-{number}", "--role", "reader", "--namespace", "team")
        yield house


@pytest.fixture
def machines(tmp_path: Path, house: RegistryHouse) -> Iterator[list[Machine]]:
    """Machines of a fleet, the last of which has the scheduler, and what must be true of them in the end."""
    made = [
        Machine(tmp_path / f"node-{number}", f"hf_canary_of_node_{number}_0123456789") for number in range(COUNT + 1)
    ]
    for machine in made:
        belong(machine)
    yield made
    for machine in made:
        machine.kill_running()
        machine.stop()
        said = "".join(result.out + result.err for result in machine.results)
        for secret in (KEY, *house.tokens.values()):
            assert secret not in said
            for path in machine.files():
                assert path.relative_to(machine.folder).parts[0] == "config" or secret.encode() not in path.read_bytes()
    assert not [token for token in house.tokens.values() if token in house.below.log]


def env(house: RegistryHouse, number: int) -> dict[str, str]:
    return {"GLM_ARIA_REGISTRY": house.server.url, "GLM_ARIA_REGISTRY_TOKEN": house.tokens[f"node-{number}"]}


def sent(house: RegistryHouse, model: str) -> int:
    """The bytes of blobs of a model that the registry sent."""
    return sum(int(count) for name, count in _SENT.findall(house.below.log) if name == model)


def move(house: RegistryHouse, model: str, version: str, before: str = "") -> None:
    how = {"If_Match": f'"{before}"'} if before else {"If_None_Match": "*"}
    assert house.call("boss", "PUT", f"/{model}/aliases/prod", {"version": version}, **how).status < 300


def pulled(house: RegistryHouse, machines: list[Machine], *words: str) -> list[Result]:
    """A pull at each of them, with a token of its own."""
    running = [
        machine.start("pull", *words, "--peer-listen", "127.0.0.1:0", "--json", env={**env(house, number), **SHARED})
        for number, machine in enumerate(machines)
    ]
    return [one.end(120).ended(0) for one in running]


def test_what_an_alias_stands_for_now_is_shared(house: RegistryHouse, machines: list[Machine]) -> None:
    model, (*nodes, head) = "team/large", machines
    scheduler = SchedulerProcess.start(head)
    digests, before = [house.publish("boss", model, "1.0.0", OLD), house.publish("boss", model, "1.1.0", NEW)], 0
    for number, (version, files) in enumerate((("1.0.0", OLD), ("1.1.0", NEW))):
        move(house, model, version, digests[0] if number else "")
        fresh = sum(len(data) for path, data in files.items() if not number or data != OLD.get(path))
        results = pulled(house, nodes, f"reg://{model}@prod", "--fleet", scheduler.address)
        commit = digests[number].partition(":")[2][:40]
        for machine, result in zip(nodes, results, strict=True):
            assert result.model["commit"] == commit
            assert content(machine.snapshot(f"model/{model}", commit)) == files
        assert sent(house, model) - before <= MOST * fresh
        assert from_peers(results) >= (COUNT - MOST) * fresh
        before = sent(house, model)
    scheduler.stop()


def test_nodes_fetch_with_tokens_of_their_own(house: RegistryHouse, machines: list[Machine]) -> None:
    model, (*nodes, head) = "team/closed", machines
    digest = house.publish("boss", model, "1.0.0", OLD)
    scheduler = SchedulerProcess.start(head)
    where = ("--scheduler", scheduler.address)
    running = [
        machine.start("node", *where, "--listen", "127.0.0.1:0", env=env(house, number) if number else {})
        for number, machine in enumerate(nodes)
    ]
    for one in running:
        assert one.process.stdout
        assert one.process.stdout.readline()
    words = ("fleet", "submit", f"reg://{model}@1.0.0", *where, "--wait", "--json")
    task = head.run(*words, env=env(house, 0), timeout_s=90).document["data"]
    assert sorted(node["phase"] for node in task["nodes"]) == ["failed", "placed", "placed"]
    assert sum(node["from_peers"] for node in task["nodes"]) == 0
    for machine in nodes[1:]:
        assert content(machine.snapshot(f"model/{model}", digest.partition(":")[2][:40])) == OLD
    for one in running:
        one.signal(signal.SIGTERM)
    ends = [one.end(30).ended(0) for one in running]
    assert "registry login" in ends[0].err
    scheduler.stop()
