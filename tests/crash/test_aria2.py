"""An aria2c that hangs, and a control file that is missing, empty, garbage, or lies."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.conftest import MakeHub
from tests.crash.readers import litter
from tests.hub.content import MIB, generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import wanted
from tests.machine.machine import Machine, content

SIZE = 6 * MIB


@pytest.fixture
def repo() -> Repo:
    return Repo("model", "org/m", {"model.safetensors": generate(SIZE, 3), "config.json": b"{}"})


@pytest.fixture
def hub(repo: Repo, make_hub: MakeHub) -> LoopbackHub:
    return make_hub(repo, cdn_shape=Shape(total_rate=6 * MIB))


def at_half(hub: LoopbackHub) -> None:
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") >= SIZE // 2, 20)


def test_a_frozen_aria2c_is_noticed(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    running = machine.start_pull("org/m")
    at_half(hub)
    (pid,) = machine.aria2()
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    running.end(60).ended(0)
    assert time.monotonic() - began < 30
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert machine.aria2() == []
    assert litter(machine) == []


def test_a_frozen_orphan_is_ended_by_the_next_run(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    """It answers nothing, and once it goes on it would write to a part that is another run's, or placed, by then."""
    running = machine.start_pull("org/m")
    at_half(hub)
    (pid,) = machine.aria2()
    os.kill(pid, signal.SIGSTOP)
    running.signal(signal.SIGKILL)
    running.end(10)
    machine.pull("org/m").ended(0)
    assert pid not in machine.aria2()
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert litter(machine) == []


def control_file(size: int) -> bytes:
    """Version 1 of aria2's control file, which says that every piece of 1 MiB is there."""
    pieces = size // MIB
    bits = (1 << pieces) - 1 << (-pieces % 8)
    bitfield = bits.to_bytes(-(-pieces // 8), "big")
    return struct.pack(">HIIIQQI", 1, 0, 0, MIB, size, 0, len(bitfield)) + bitfield + struct.pack(">I", 0)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(os.urandom(200)),
    "lying": lambda path: path.write_bytes(control_file(SIZE)),
}


@pytest.mark.parametrize(("damage", "journal"), [*((name, "gone") for name in DAMAGES), ("lying", "kept")])
def test_a_control_file_is_never_believed(
    machine: Machine, hub: LoopbackHub, repo: Repo, damage: str, journal: str
) -> None:
    running = machine.start_pull("org/m")
    at_half(hub)
    for pid in (running.pid, *machine.aria2()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.end(10)
    assert machine.aria2_ended()
    (digest,) = {file.sha256 for file in repo.commits[repo.head].files.values() if file.sha256}
    part = machine.stage / str(digest)
    assert part.stat().st_size == SIZE, "aria2 reserves the whole file: what is missing are holes"
    for path in machine.stage.glob(f"{digest}*"):
        if path != part and (journal == "gone" or path.suffix.startswith(".aria2")):
            path.unlink()
    DAMAGES[damage](part.with_name(f"{digest}.aria2"))
    machine.pull("org/m").ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert litter(machine) == []
