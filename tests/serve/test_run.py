"""`glm-aria run`: the real clients of the same cache, behind a server of their own."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.installs import python_of
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, content
from tests.serve.servers import CANARY
from tests.serve.test_cold import sent, size

BIG = "big.safetensors"
FILES: dict[str, Any] = tiny_model(1, shard_size=3 << 20) | {BIG: generate(40 << 20, 7), "empty.txt": b""}
VERSIONS = ("hf-0.36", "hf-1.10", "hf-1.22", "newest")


def hf(version: str = "newest") -> str:
    """The program `hf` of a version."""
    python = Path(sys.executable) if version == "newest" else python_of(version)
    return str(python.with_name("hf"))


def words(machine: Machine, *command: str) -> list[str]:
    """The words of a run of `command` on this machine."""
    return ["run", "--root", machine.root, "--no-mirrors", "--", *command]


def run_env(**more: str) -> dict[str, str]:
    return {"HF_HUB_DISABLE_TELEMETRY": "1", "NO_COLOR": "1", **more}


class Disk:
    """The most that the files below a folder took up at once, by their blocks; a file of many names counts once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._over = folder, threading.Event()
        self._thread = threading.Thread(target=self._measure)
        self.most = 0

    def __enter__(self) -> Disk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _measure(self) -> None:
        while not self._over.wait(0.01):
            taken = {}
            for path in self._folder.rglob("*"):
                try:
                    found = path.lstat()
                except OSError:
                    continue
                taken[found.st_ino] = found.st_blocks * 512
            self.most = max(self.most, sum(taken.values()))


@pytest.mark.parametrize("version", VERSIONS)
def test_hf_finds_what_it_wants_placed(machine: Machine, make_hub: MakeHub, repo: Repo, version: str) -> None:
    hub = make_hub(repo)
    hub.faces["cdn"].shape = Shape(total_rate=20e6)
    with Disk(machine.hf_home) as disk:
        result = machine.run(*words(machine, hf(version), "download", "org/m"), env=run_env()).ended(0)
    assert content(Path(result.out.strip().splitlines()[-1].removeprefix("  path: "))) == wanted(repo)
    print(version, disk.most / size(repo), sent(hub) / size(repo), result.err)
    assert disk.most <= 1.05 * size(repo)
    assert sent(hub) <= 1.05 * size(repo)
