"""A trial: machines that fetch one model together while something fails, and what has to be true of it at the end.

trial.start_all()
trial.reaches(0.4)
victim = trial.draw.choice(trial.nodes)
trial.kill(victim)
trial.ends(spared=[victim], egress=1.1)
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fleet.lab import Lab, Node, egress, size
from tests.fleet.running import Ended, Running, peers_share
from tests.hub.loopback import LoopbackHub
from tests.hub.models import one_big
from tests.hub.repos import Repo

MIB = 1 << 20
ENV = {"GLM_ARIA_FLEET_KEY": "trial-" + "k" * 40}
PORT = 8092
"""The usual one of nodes."""
REDIS_PORT = 6379
Record = Callable[[str, object], None]


@dataclass(frozen=True, slots=True)
class Scale:
    """Machines, bytes and rates (bits per second) of a trial, and how long one may take at most."""

    nodes: int
    mebibytes: int
    rate: float
    origin_rate: float
    wait_s: float

    @property
    def ideal_s(self) -> float:
        """Seconds in which the origin can send the model once."""
        return self.mebibytes * MIB * 8 / self.origin_rate


_SHORT_SLACK = 0.2
SHORT = Scale(4, 48, 400e6, 100e6, 150)
LONG = Scale(8, 192, 400e6, 50e6, 300)
"""An origin that is slow enough for two processors to carry eight nodes."""


@dataclass
class Trial:
    """The nodes with empty disks, the origin's Hub with one model, and what runs by now, by the name of the node.

    `head` is a machine for control: it may have schedulers and a Redis, which are `beside`.
    """

    lab: Lab
    hub: LoopbackHub
    repo: Repo
    scale: Scale
    nodes: Sequence[Node]
    head: Node
    draw: Random
    record: Record
    running: dict[str, Running] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    beside: list[Running] = field(default_factory=list)
    words: tuple[str, ...] = ("--no-mirrors",)
    """Words of each pull besides those that name the others."""
    fleet: str = ""
    """What `--fleet` names; without it, all nodes are named to each other as peers."""

    @classmethod
    @contextmanager
    def open(cls, lab: Lab, scale: Scale, data: Path, draw: Random, record: Record) -> Iterator[Trial]:
        """Make it, and at its end stop what still runs, and make all lines and disks as they were."""
        repo = Repo("model", "org/model", one_big(scale.mebibytes * MIB, data))
        folder = lab.folder / "trial"
        folder.mkdir()
        *nodes, head = (node.with_disk(folder / node.name) for node in lab.nodes)
        with lab.hub([repo]) as hub:
            trial = cls(lab, hub, repo, scale, nodes, head, draw, record)
            try:
                yield trial
            finally:
                for running in (*trial.running.values(), *trial.beside):
                    running.kill()
                lab.join()
                for node in (*nodes, head):
                    node.shape(scale.rate)
                lab.origin.shape(scale.origin_rate)
                shutil.rmtree(folder)

    def start(self, node: Node, module: str = "orchestrator.cli.main") -> Running:
        """Have a node pull the model together with the others; `module` is what Python runs."""
        others = [word for other in self.nodes for word in ("--peer", other.address)]
        together = ["--fleet", self.fleet] if self.fleet else others
        words = ("pull", self.repo.name, *self.words, *together, "--json")
        self.running[node.name] = node.glm_aria(*words, root=self.hub.url, env=ENV, module=module)
        return self.running[node.name]

    def start_all(self, but: Collection[Node] = ()) -> None:
        """Have all nodes pull it at once."""
        for node in self.nodes:
            if node not in but:
                self.start(node)

    @contextmanager
    def serving(self, node: Node) -> Iterator[None]:
        """Have a node give what its cache has to its peers, as `serve` does, until the block ends. Who is started
        meanwhile knows it as a peer."""
        words = ("serve", "--listen", f"0.0.0.0:{PORT}", "--auth", "none", "--host", node.address, "--no-mirrors")
        server = node.glm_aria(*words, root=self.hub.url, env=ENV)
        node.wait_for(PORT, server)
        led, self.fleet = self.fleet, ""
        try:
            yield
        finally:
            self.fleet = led
            server.terminate()

    def schedule(self, port: int, *words: str) -> Running:
        """Start a scheduler at a port of the head, and wait until it listens."""
        place = f"{self.head.address}:{port}"
        scheduler = self.head.glm_aria("scheduler", "--listen", place, *words, root=self.hub.url, env=ENV)
        self.beside.append(scheduler)
        self.head.wait_for(port, scheduler)
        return scheduler

    def redis(self) -> Running:
        """Start a Redis on the head, which keeps nothing on its disk."""
        words = ("redis-server", "--save", "", "--bind", "0.0.0.0", "--protected-mode", "no", "--port", str(REDIS_PORT))
        server = self.head.start(*words)
        self.beside.append(server)
        self.head.wait_for(REDIS_PORT, server)
        return server

    def reaches(self, share: float) -> None:
        """Wait until the origin has sent this share of the model."""
        wanted = share * size(self.repo)
        assert self.hub.log.wait_for(lambda log: log.bytes_sent(file="*") >= wanted, self.scale.wait_s), self._said()

    def kill(self, node: Node) -> None:
        """SIGKILL a node's pull, whose aria2c ends with it."""
        self.running.pop(node.name).kill()

    def ends(
        self,
        *,
        egress: float,
        ratio: float | None = None,
        spared: Collection[Node] = (),
        slow: Collection[Node] = (),
        from_peers: float | None = None,
        is_exact: bool = False,
        is_late: bool = False,
    ) -> dict[str, Ended]:
        """Wait for all that runs; they have every byte, from where they should. `spared` may end in another way, and
        `slow` ones take longer.

        `ratio` is that to the ideal time, which the long form holds the others to: of the seconds since the origin sent
        its first byte, without the start of eight Pythons on few processors, or with it where `is_late`, until the last
        of them had the model. `egress` is held as it is in the long form, or if it `is_exact`: a short one has few
        units, and often a busy machine.
        """
        that_run = sorted(self._that_run(), key=lambda node: node in slow)
        ended = {node.name: self.running[node.name].wait(self.scale.wait_s) for node in that_run}
        self.running.clear()
        others = [node for node in self.nodes if node.name in ended and node not in spared]
        for node in others:
            one = ended[node.name]
            assert one.code == 0, f"{node.name}: {one.code}\n{one.stderr[-3000:]}\n{one.stdout[-3000:]}"
            assert node.wrong(self.repo) == [], node.name
            assert litter(node) == [], node.name
        first = min(one.start for one in self.hub.log.requests(method="GET", file="*"))
        began = min(ended[node.name].began for node in others) if is_late else first
        took = (max(published(node) for node in others if node not in slow) - began) / self.scale.ideal_s
        sent, shared = self.egress(), peers_share([ended[node.name] for node in others])
        self.tell(ratio=took, egress=sent, peers=shared)
        assert sent <= egress + (0 if is_exact or self.scale is LONG else _SHORT_SLACK), self._sent()
        if from_peers is not None:
            assert shared >= from_peers
        if ratio is not None and self.scale is LONG:
            assert took <= ratio
        return ended

    def egress(self) -> float:
        """See `lab.egress`, once the Hub has nothing under way."""
        self.hub.log.settle()
        return egress(self.hub, self.repo)

    def tell(self, **figures: float) -> None:
        """Keep figures for the table of reliability: of several of a name the worst."""
        for name, value in figures.items():
            worst = min if name == "peers" else max
            self.told[name] = worst(value, self.told.get(name, value))
            self.record(f"fleet:{name}", f"{self.told[name]:.3f}")

    def _sent(self) -> str:
        """The ranges that the origin sent, in the order of their start, for who has to find out what came twice."""
        found = [(_start(one.range), one) for one in self.hub.log.requests(method="GET", file="*")]
        lines = [
            f"{start / MIB:8.2f} {one.bytes_sent / MIB:6.2f} {one.range} at {one.start:.2f} to {one.client}"
            for start, one in sorted(found, key=lambda pair: pair[0])
        ]
        return f"{self.egress():.3f} of the size\n" + "\n".join(lines)

    def _that_run(self) -> list[Node]:
        return [node for node in self.nodes if node.name in self.running]

    def _said(self) -> str:
        return "\n".join(f"{name}: {running.said()[-600:]}" for name, running in self.running.items())


def _start(range_: str | None) -> int:
    """The first byte that a request asks for."""
    return int((range_ or "bytes=0-").removeprefix("bytes=").partition("-")[0])


def published(node: Node) -> float:
    """When a node had the model, in monotonic seconds; it may stay for others after that."""
    (ref,) = (node.folder / "hf" / "hub").glob("models--*/refs/main")
    return time.monotonic() - time.time() + ref.stat().st_mtime


def litter(node: Node) -> list[str]:
    """What nobody needs any more on a node after a pull that ended well."""
    left = [*(node.folder / "hf" / "glm-aria" / "stage").glob("*")]
    left += [
        path for path in node.folder.rglob("*") if path.name.startswith("scratch-") or path.suffix == ".incomplete"
    ]
    return sorted(str(path.relative_to(node.folder)) for path in left)
