"""One run of a way: all nodes at once, each result checked by its digests, the bytes counted where they were sent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchlib import peers
from scripts.fleetlib.cases import Case
from scripts.fleetlib.ways import WAYS, Scene
from tests.fleet.lab import Lab, egress, size
from tests.fleet.running import peers_share
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo

_PATIENCE = 20
"""A node that takes so many times the time of all that the origin would send to each one is stopped."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds until the last node was done; bytes that the origin sent over the size; the share of all bytes that
    came from peers; CPU seconds of all nodes and of the servers beside, without the origin's."""

    wall_s: float
    egress: float
    from_peers: float
    cpu_s: float


class Stage:
    """The machines and the origin of a case, for one run after another."""

    def __init__(self, case: Case, lab: Lab, hub: LoopbackHub, repo: Repo) -> None:
        self._case, self._lab, self._hub, self._repo = case, lab, hub, repo
        self.size = size(repo)
        self._runs = 0

    @classmethod
    @contextmanager
    def open(cls, case: Case, data: Path) -> Iterator[Stage]:
        """Make them; `data` keeps big files."""
        repo = Repo("model", "org/model", dict(case.files(data)))
        with (
            Lab.open(case.nodes + 1, rate=case.rate, origin_rate=case.origin_rate) as lab,
            lab.hub([repo]) as hub,
        ):
            yield cls(case, lab, hub, repo)

    @property
    def ideal_s(self) -> float:
        """Seconds in which the origin can send the model once."""
        return self.size * 8 / self._case.origin_rate

    def run(self, name: str, count: int | None = None) -> Taken:
        """Have so many nodes, or all, get the model in this way. Raises RuntimeError when one has not got it."""
        self._runs += 1
        folder = self._lab.folder / f"run-{self._runs}"
        folder.mkdir()
        try:
            *nodes, head = (node.with_disk(folder / node.name) for node in self._lab.nodes)
            scene = Scene(nodes[:count], head, self._known())
            self._hub.log.reset()
            with WAYS[name](scene) as opened:
                running = [(node, opened.start(node)) for node in scene.nodes]
                limit_s = _PATIENCE * self.ideal_s * len(running) + 60
                ended = [each.wait(limit_s) for _, each in running]
            for (node, _), one in zip(running, ended, strict=True):
                if one.code:
                    raise RuntimeError(
                        f"{name} on {node.name} ended with {one.code}: {one.stderr[-2000:]}{one.stdout[-2000:]}"
                    )
                peers.check(opened.peer, scene.repo, node.folder)
            cpu = sum(one.cpu_s for one in (*ended, *(server.wait() for server in opened.beside)))
            self._hub.log.settle()
            wall = max(one.wall_s for one in ended)
            return Taken(
                wall, egress(self._hub, self._repo), peers_share(ended) if opened.peer == "glm-aria" else 0.0, cpu
            )
        finally:
            shutil.rmtree(folder)

    def _known(self) -> peers.Repo:
        files: dict[str, dict[str, Any]] = {
            path: {"size": file.size, "oid": file.oid, "sha256": file.sha256}
            for path, file in self._repo.commits[self._repo.head].files.items()
        }
        return peers.Repo(self._hub.url, self._repo.name, files)
