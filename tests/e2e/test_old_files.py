"""A cache, a lock file and notes that commit 8d207a5 left (made_by_8d207a5/README.md) serve the commands of today."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from orchestrator.core.extents import clip
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, sent
from tests.machine.machine import Machine

ARCHIVE = Path(__file__).with_name("made_by_8d207a5") / "machine.tar.gz"
WHOLE = Repo("model", "org/whole", {"config.json": b"{}\n", "sub/w.safetensors": b"w" * 300_000})
HALF = Repo("model", "org/half", {"big.safetensors": b"0123456789abcdef" * 400_000})
JOURNALLED = ((0, 704_512), (1_048_576, 1_753_088), (2_097_152, 2_441_216), (3_145_728, 3_489_792))
"""The bytes of `org/half` that its journal names."""


@pytest.fixture
def hub(machine: Machine, make_hub: MakeHub) -> LoopbackHub:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(machine.folder, filter="data")
    return make_hub(WHOLE, HALF)


def test_a_model_of_the_old_cache_is_complete(machine: Machine, hub: LoopbackHub) -> None:
    found = machine.pull("org/whole").ended(0).model
    assert found["bytes_fetched"] == 0
    assert sent(hub) == []


def test_an_old_cache_serves_offline(machine: Machine, hub: LoopbackHub) -> None:
    machine.pull("org/whole", "--offline").ended(0)
    assert hub.log.requests() == []


def test_an_old_cache_verifies(machine: Machine, hub: LoopbackHub) -> None:
    assert machine.run("verify", "--json", "org/whole").ended(0).document["status"] == "success"


def test_an_old_lock_file_is_replayed_without_a_byte(machine: Machine, hub: LoopbackHub) -> None:
    machine.pull("--locked", "whole.lock").ended(0)
    assert sent(hub) == []


def test_an_old_lock_file_fills_an_empty_cache(machine: Machine, hub: LoopbackHub) -> None:
    machine.pull("--locked", "whole.lock", env={"HF_HOME": str(machine.folder / "other")}).ended(0)
    assert set(sent(hub)) == {"config.json", "sub/w.safetensors"}


def test_an_old_local_folder_is_current(machine: Machine, hub: LoopbackHub) -> None:
    machine.pull("org/whole", "--local-dir", "models/whole").ended(0)
    assert sent(hub) == []


def test_an_old_part_is_continued_from_its_journal(machine: Machine, hub: LoopbackHub) -> None:
    machine.pull("org/half").ended(0)
    words = [(seen.range or "bytes=0-6399999").removeprefix("bytes=") for seen in hub.log.requests(face="cdn")]
    asked = [(int(first), int(last) + 1) for first, last in (one.split("-") for one in words)]
    assert asked
    assert not [twice for start, end in JOURNALLED for twice in clip(asked, start, end)]


def test_old_notes_are_read(machine: Machine, hub: LoopbackHub) -> None:
    mirrors = machine.run("mirrors", "ls", "--json").ended(0).document["data"]
    assert "liar.example" in str(mirrors) or "wrong bytes" in str(mirrors)
    pulls = machine.run("history", "--json").ended(0).document["data"]
    assert "org/whole" in str(pulls)
    lists = machine.run("watch", "--status", "--json").ended(0).document["data"]
    assert "org/whole" in str(lists)
