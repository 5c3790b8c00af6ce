"""Stopped in the middle: by Ctrl-C, twice, by SIGTERM, by SIGKILL. The next run fetches only the rest."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.hub.content import MIB, make_file
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, Running, content, until

SIZE = 64 * MIB
CONNECTIONS = 4
MARGIN = 2 * CONNECTIONS * MIB
"""What a stop may cost: what was on its way in each connection."""


@pytest.fixture
def big(tmp_path: Path) -> Repo:
    return Repo("model", "org/big", {"big.safetensors": make_file(tmp_path / "big", SIZE, 5), "config.json": b"{}"})


@pytest.fixture
def hub(big: Repo, make_hub: MakeHub) -> LoopbackHub:
    # Far enough away that each connection is given a range of its own; then what is sent is what is used.
    return make_hub(big, shape=Shape(latency_s=0.02), cdn_shape=Shape(latency_s=0.02, total_rate=24 * MIB))


def start(machine: Machine, *words: str) -> Running:
    return machine.start_pull("org/big", "--connections", str(CONNECTIONS), *words)


def arrived(hub: LoopbackHub, size: int) -> None:
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") >= size, 20)


def journalled(machine: Machine) -> int:
    """Bytes that the journal on disk says are there."""
    for path in machine.stage.glob("*.journal"):
        return sum(end - start for start, end, _ in json.loads(path.read_text())["extents"])
    return 0


def finish(machine: Machine, hub: LoopbackHub, big: Repo) -> int:
    """Run again; returns the bytes that this cost.

    The hub stays paced: what it writes faster than aria2 reads is in buffers of the kernel, sent but never fetched.
    """
    hub.log.settle()
    hub.log.reset()
    hub.faces["cdn"].shape = Shape(latency_s=0.02, total_rate=48 * MIB)
    machine.pull("org/big", "--connections", str(CONNECTIONS)).ended(0)
    assert content(machine.snapshot("model/org/big", big.head)) == wanted(big)
    assert list(machine.stage.iterdir()) == []
    return hub.log.bytes_sent(face="cdn")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_and_resumed(machine: Machine, hub: LoopbackHub, big: Repo, number: int, code: int) -> None:
    running = start(machine)
    arrived(hub, SIZE // 2)
    running.signal(number)
    stopped = running.end().ended(code)
    assert stopped.document["status"] == "interrupted"
    assert stopped.error["resumable"]
    assert machine.aria2() == []
    assert not machine.snapshot("model/org/big", big.head).joinpath("big.safetensors").exists()
    assert not (machine.cache / "models--org--big" / "refs" / "main").exists()
    assert list(machine.runtime.iterdir()) == []
    hub.log.settle()
    first = hub.log.bytes_sent(face="cdn")
    assert first + finish(machine, hub, big) <= SIZE + MARGIN
    came = [pull["bytes"] for pull in machine.run("history", "--json").ended(0).document["data"]["pulls"]]
    assert len(came) == 2
    assert came[0] <= first
    assert SIZE - MARGIN <= sum(came) <= SIZE + MARGIN


def test_a_second_ctrl_c_ends_it_at_once(machine: Machine, hub: LoopbackHub, big: Repo) -> None:
    running = start(machine)
    assert until(lambda: journalled(machine) >= SIZE // 4, 20)
    kept = journalled(machine)
    # Held still, the aria2c answers nothing: the first Ctrl-C waits for it, the second does not.
    (pid,) = machine.aria2()
    os.kill(pid, signal.SIGSTOP)
    running.signal(signal.SIGINT)
    assert until(lambda: not catches(running.pid, signal.SIGTERM)), "the first signal gives the handlers back"
    began = time.monotonic()
    running.signal(signal.SIGINT)
    running.end().ended(130)
    assert time.monotonic() - began < 8
    assert machine.aria2() == []
    assert finish(machine, hub, big) <= SIZE - kept + MARGIN


def catches(pid: int, number: int) -> bool:
    """True while the process has a handler for the signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_killed_and_resumed(machine: Machine, hub: LoopbackHub, big: Repo) -> None:
    running = start(machine)
    assert until(lambda: journalled(machine) >= SIZE // 4, 20)
    running.signal(signal.SIGKILL)
    running.end(10)
    assert machine.aria2_ended(), "the aria2c did not end with its owner"
    kept = journalled(machine)
    assert finish(machine, hub, big) <= SIZE - kept + MARGIN
    assert list(machine.runtime.iterdir()) == []


def test_run_again_while_the_orphan_still_writes(machine: Machine, hub: LoopbackHub, big: Repo) -> None:
    running = start(machine)
    assert until(lambda: journalled(machine) >= SIZE // 8, 20)
    running.signal(signal.SIGKILL)
    running.end(10)
    machine.pull("org/big", "--connections", str(CONNECTIONS)).ended(0)
    assert machine.aria2() == [], "the first run's aria2c can still write to what is placed by now"
    assert content(machine.snapshot("model/org/big", big.head)) == wanted(big)


def test_a_killed_aria2c_is_started_again(machine: Machine, hub: LoopbackHub, big: Repo) -> None:
    running = start(machine)
    assert until(lambda: journalled(machine) >= SIZE // 4, 20)
    kept = journalled(machine)
    (pid,) = machine.aria2()
    hub.log.reset()
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: machine.aria2() not in ([pid], []))
    running.end().ended(0)
    assert content(machine.snapshot("model/org/big", big.head)) == wanted(big)
    assert hub.log.bytes_sent(face="cdn") <= SIZE - kept + MARGIN


@pytest.mark.parametrize("garbage", [b"", b"\0" * 40, b"[" * 100_000, None])
def test_a_part_without_a_valid_journal_is_begun_anew(
    machine: Machine, hub: LoopbackHub, big: Repo, garbage: bytes | None
) -> None:
    running = start(machine)
    assert until(lambda: journalled(machine) >= SIZE // 8, 20)
    running.signal(signal.SIGINT)
    running.end().ended(130)
    (journal,) = machine.stage.glob("*.journal")
    if garbage is None:
        journal.unlink()
    else:
        journal.write_bytes(garbage)
    assert finish(machine, hub, big) >= SIZE


def test_a_second_run_says_for_what_it_waits(machine: Machine, hub: LoopbackHub) -> None:
    first = start(machine)
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 0, 30)
    second = start(machine, "--progress", "lines").end().ended(0)
    first.end().ended(0)
    assert second.err.count("big.safetensors: waits for another run, which fetches it") == 1
    assert second.model["bytes_fetched"] == 0
