"""Machines of a fleet that pull one model, and what they must have in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from orchestrator.core.sources import node_of
from tests.hub.content import content_of, sha256_of
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Commit, Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import assert_unseen
from tests.machine.machine import Machine, Result, Running
from tests.swarm.control.processes import KEY, belong

LARGE = 48 << 20
SMALL = 8
RATE = 12 << 20
"""Bytes per second of the origin, so that there is time for something to happen."""


def model(large: int = LARGE, seed: int = 1) -> Repo:
    """A model of a large file, and some small ones."""
    made = Random(seed)
    files: dict[str, bytes] = {f"{name}.json": made.randbytes(1000) for name in range(SMALL)}
    return Repo("model", "org/large", {**files, "model.safetensors": made.randbytes(large)})


@dataclass
class Nodes:
    """Machines with the key of a fleet, and the origin of what they pull."""

    machines: Sequence[Machine]
    hub: LoopbackHub
    repo: Repo

    @classmethod
    def made(cls, folder: Path, hub: LoopbackHub, repo: Repo, count: int) -> Nodes:
        """So many of them."""
        machines = [
            Machine(folder / f"node-{number}", f"hf_canary_of_node_{number}_0123456789") for number in range(count)
        ]
        for machine in machines:
            machine.root = hub.url
            belong(machine)
        return cls(machines, hub, repo)

    def pulls(self, where: str, *words: str, env: dict[str, str] | None = None) -> list[Running]:
        """A pull at each, which share as `where` says."""
        listen = ("--peer-listen", "127.0.0.1:0", *(() if "--mirror" in words else ("--no-mirrors",)))
        return [
            machine.start_pull(self.repo.name, "--fleet", where, *listen, *words, env=env) for machine in self.machines
        ]

    def ended(self, running: Sequence[Running], code: int = 0) -> list[Result]:
        """The ends of them, each with the right bytes in its cache."""
        results = [one.end(120).ended(code) for one in running]
        for machine in self.machines:
            self.assert_right(machine)
        return results

    def assert_right(self, machine: Machine) -> None:
        """A machine has the model, byte for byte."""
        folder = machine.snapshot(f"model/{self.repo.name}", self._commit.oid)
        for path, file in self._commit.files.items():
            assert sha256_of(content_of((folder / path).read_bytes())) == sha256_of(file.content), path

    @property
    def size(self) -> int:
        """The bytes of the model."""
        return self._commit.size

    @property
    def _commit(self) -> Commit:
        return self.repo.commits[self.repo.head]

    @property
    def egress(self) -> float:
        """Bytes of files that the origin sent, by those of the model."""
        self.hub.log.settle()
        sent = [seen for status in (200, 206) for seen in self.hub.log.requests(method="GET", status=status)]
        return sum(seen.bytes_sent for seen in sent if seen.file is not None) / self.size

    @property
    def questions(self) -> int:
        """Calls of the origin's API."""
        return sum(
            "/api/models/" in seen.path and "resolve" not in seen.path for seen in self.hub.log.requests(face="hub")
        )

    def end(self) -> None:
        """Kill what runs, and hold that nobody learned a secret."""
        for machine in self.machines:
            machine.kill_running()
        for machine in self.machines:
            machine.stop()
            assert_unseen(machine)
            said = "".join(result.out + result.err for result in machine.results)
            assert KEY not in said
            others = {"config"}
            for path in machine.files():
                if path.relative_to(machine.folder).parts[0] not in others:
                    assert KEY.encode() not in path.read_bytes(), path


def from_peers(results: Sequence[Result]) -> int:
    """The bytes that came from peers, by the reports."""
    return sum(
        count
        for result in results
        for found in result.document["data"]["models"]
        for file in found["files"]
        for source, count in _sources(file)
        if node_of(source)
    )


def _sources(file: Any) -> Iterator[tuple[str, int]]:
    yield from ((name, count) for name, count in (file.get("sources") or {}).items())


def slow_hub(repo: Repo, machines: int, *tokens: str, opens: Sequence[str] = ()) -> LoopbackHub:
    """An origin that is the narrow place, and knows the tokens of so many machines, which may open these repos."""
    known = (*tokens, *(f"hf_canary_of_node_{number}_0123456789" for number in range(machines)))
    hub = LoopbackHub([repo], tokens={token: frozenset(opens) for token in known})
    for face in hub.faces.values():
        face.shape = Shape(total_rate=RATE)
    return hub
