"""From the end of a push to the flip on a node that follows the alias: real processes, one changed file."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.benchlib.report import spread
from tests.hub.content import generate
from tests.machine.machine import Machine
from tests.serve.registry.house import RegistryHouse, registry_house

MIB = 1 << 20
MODEL = "team/model"
PROMISED_SECONDS, PROMISED_SHARE = 3.0, 1.05
_WRITTEN = re.compile(r"method=GET .*http\.response\.written=(\d+)")


@dataclass(frozen=True, slots=True)
class Sizes:
    """A model of `big` files of `each` bytes, and one of `changed` bytes that is another in each version."""

    big: int = 2
    each: int = 1024 * MIB
    changed: int = MIB


@dataclass(frozen=True, slots=True)
class Reload:
    """A push: seconds from the save to the flip, from its own end to the flip, and to the end of the hook; bytes that
    the registry sent to anybody meanwhile."""

    saved: float
    flipped: float
    told: float
    moved: int


class Publisher:
    """Somebody who works on a model, and pushes it on each save: `dev` stands for the newest version."""

    def __init__(self, machine: Machine, house: RegistryHouse, sizes: Sizes) -> None:
        self._sizes = sizes
        self.folder = machine.work / "model"
        self.folder.mkdir()
        for index in range(sizes.big):
            (self.folder / f"model-{index}.safetensors").write_bytes(generate(sizes.each, index + 1))
        self._change(0)
        self._running = machine.start(
            *("push", str(self.folder), f"reg://{MODEL}:1.0.0", "--watch", "--alias", "dev", "--progress", "none"),
            env={"GLM_ARIA_REGISTRY": house.server.url, "GLM_ARIA_REGISTRY_TOKEN": house.tokens["ci"]},
        )

    def pushed(self) -> tuple[str, float]:
        """The digest of the version that was pushed, and when that was told, in unix seconds."""
        assert self._running.process.stdout
        digest = self._running.process.stdout.readline().strip()
        assert digest.startswith("sha256:"), self._running.end()
        return digest, time.time()

    def save(self, number: int) -> float:
        """Save another file; when, in unix seconds."""
        self._change(number)
        return time.time()

    def stop(self) -> None:
        self._running.signal(signal.SIGTERM)
        self._running.end()

    def _change(self, number: int) -> None:
        # As programs save: under another name, then renamed.
        other = self.folder.parent / "adapter.new"
        other.write_bytes(generate(self._sizes.changed, 1000 + number))
        other.replace(self.folder / "adapter.safetensors")


@dataclass
class Node:
    """A machine that follows `dev`; its hook writes the time of each flip."""

    machine: Machine
    house: RegistryHouse

    @contextmanager
    def following(self) -> Iterator[None]:
        path = self.machine.work / "models.txt"
        path.write_text(f"reg://{MODEL}@dev\n")
        running = self.machine.start(
            *("watch", str(path), "--json", "--progress", "none", "--interval", "1h", "--on-change"),
            f'echo "$GLM_ARIA_NEW_COMMIT" >> {self._told}',
            env={"GLM_ARIA_REGISTRY": self.house.server.url, "GLM_ARIA_REGISTRY_TOKEN": self.house.tokens["node"]},
        )
        try:
            yield
        finally:
            running.signal(signal.SIGTERM)
            running.end()

    @property
    def _told(self) -> Path:
        return self.machine.work / "told"

    @property
    def _ref(self) -> Path:
        return self.machine.cache / "models--team--model" / "refs" / "dev"

    def flips(self, digest: str, patience: float = 120.0) -> tuple[float, float]:
        """Wait for a version; when its ref was written, and when the hook had run, in unix seconds."""
        commit, deadline = digest.removeprefix("sha256:")[:40], time.monotonic() + patience
        while not (self._told.exists() and self._told.read_text().endswith(f"{commit}\n")):
            if time.monotonic() > deadline:
                raise SystemExit(f"the node did not flip to {digest} in {patience:.0f} s")
            time.sleep(0.005)
        assert self._ref.read_text() == commit
        return self._ref.stat().st_mtime, self._told.stat().st_mtime


def measure(folder: Path, sizes: Sizes, pushes: int) -> tuple[Reload, ...]:
    """Save so many changes after the first two versions, each once the node has the one before."""
    with registry_house(folder) as house, ExitStack() as stack:
        house.person("ci", "--role", "admin")
        house.person("node", "--role", "reader")
        publisher = Publisher(Machine(folder / "publisher", "hf_of_the_publisher"), house, sizes)
        stack.callback(publisher.stop)
        node = Node(Machine(folder / "node", "hf_of_the_node"), house)
        first, _ = publisher.pushed()
        stack.enter_context(node.following())
        node.flips(first)
        _reloaded(publisher, node, 1)  # what the first pull was sent is in the log by then
        return tuple(_reloaded(publisher, node, number) for number in range(2, pushes + 2))


def _reloaded(publisher: Publisher, node: Node, number: int) -> Reload:
    before = _sent(node.house)
    saved = publisher.save(number)
    digest, ended = publisher.pushed()
    flipped, told = node.flips(digest)
    return Reload(flipped - saved, flipped - ended, told - ended, _sent(node.house) - before)


def _sent(house: RegistryHouse) -> int:
    """Bytes that the registry sent to anybody."""
    return sum(map(int, _WRITTEN.findall(house.below.log)))


def rows(found: tuple[Reload, ...], sizes: Sizes) -> list[tuple[str, ...]]:
    """The table."""
    flips = sorted(one.flipped for one in found)
    share = sum(one.moved for one in found) / (sizes.changed * len(found))
    p95 = flips[max(0, -(-len(flips) * 95 // 100) - 1)]
    return [
        ("", "measured", "promised", "kept"),
        ("save to flip, median s", spread([one.saved for one in found]), "", ""),
        ("end of push to flip, median s", spread([one.flipped for one in found]), "", ""),
        ("end of push to flip, p95 s", f"{p95:.2f}", f"under {PROMISED_SECONDS:.0f}", _yes(p95 < PROMISED_SECONDS)),
        ("end of push to the end of --on-change, median s", spread([one.told for one in found]), "", ""),
        ("bytes moved / bytes changed", f"{share:.3f}", f"at most {PROMISED_SHARE}", _yes(share <= PROMISED_SHARE)),
    ]


def _yes(kept: bool) -> str:
    return "yes" if kept else "**no**"
