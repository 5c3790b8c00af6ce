"""The demand that real pulls leave: misses and hits, of who waited for them, and without a secret."""

from __future__ import annotations

import stat

from orchestrator.predict.trace import read_trace
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine

FILES = {"config.json": b"{}", "model.safetensors": b"w" * 300_000}
SIZE = sum(map(len, FILES.values()))


def test_pulls_are_demand_also_those_that_found_all_here(machine: Machine, make_hub: MakeHub) -> None:
    make_hub(Repo("model", "org/m", FILES))
    machine.pull("org/m").ended(0)
    machine.pull("org/m", "org/none").ended(3)
    listed = machine.work / "list"
    listed.write_text("org/m\n")
    machine.run("watch", str(listed), "--once", "--root", machine.root, "--no-mirrors").ended(0)  # nobody waits for it
    machine.run("predict", "export", "out.jsonl").ended(0)

    trace = read_trace((machine.work / "out.jsonl").read_bytes())
    assert [(wish.model, wish.size, wish.came) for wish in trace.demands] == [
        ("org/m@main", SIZE, SIZE),
        ("org/m@main", SIZE, 0),
    ]
    miss, hit = trace.demands
    assert sum(miss.sources.values()) == SIZE
    assert (hit.sources, hit.is_hit) == ({}, True)
    assert hit.waited >= 0
    log = machine.hf_home / "glm-aria" / "demand.jsonl"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert machine.token not in log.read_text()
