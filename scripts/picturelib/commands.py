"""The commands of the pictures, against a loopback Hub with two mirrors."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from scripts.picturelib.terminal import Recording, record
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.machine import Machine

MODEL = "zai-org/AutoGLM-Phone-9B"
SHARD = 32 << 20
RATE = Shape(latency_s=0.02, total_rate=12e6)
"""Of the Hub and of each mirror: the three shards are on their way for about three seconds."""


@dataclass
class Desk:
    """A user's machine, and the servers that it knows."""

    machine: Machine
    hub: LoopbackHub

    def type(self, *words: str, until: str = "") -> Recording:
        """Run `glm-aria WORDS` in a terminal; `until` its screen shows this pattern, or to its end."""
        env = {name: value for name, value in self.machine.env.items() if name != "HF_TOKEN"}
        addresses = {urlsplit(face.url).netloc: f"{name}.lan" for name, face in self.hub.faces.items()}
        addresses[urlsplit(self.hub.url).netloc] = "hub.example.lan"  # as wide, so that tables stay straight
        return record(
            f"glm-aria {' '.join(words)}",
            [str(Path(sys.executable).with_name("glm-aria")), *words],
            env,
            self.machine.work,
            names={str(self.machine.home): "~", **addresses},
            enough=lambda screen: bool(until and re.search(until, screen)),
        )


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    """A machine whose settings name the Hub and its mirrors."""
    machine = Machine(folder, "none")
    with LoopbackHub([Repo("model", MODEL, tiny_model(shard_size=SHARD))], shape=RATE, cdn_shape=RATE) as hub:
        mirrors = {name: hub.mirror(name, shape=RATE) for name in ("mirror-a", "mirror-b")}
        tables = (f'[[mirror]]\nname = "{name}"\nurl = "{site.url}"\n' for name, site in mirrors.items())
        machine.own_settings(f'[trust]\nroot = "{hub.url}"\n{"".join(tables)}')
        try:
            yield Desk(machine, hub)
        finally:
            machine.stop()


def plan(folder: Path) -> list[Recording]:
    """What a pull would do."""
    with desk(folder) as at:
        return [at.type("plan", MODEL)]


def pull(folder: Path) -> list[Recording]:
    """A pull on its way, from all sources at once."""
    with desk(folder) as at:
        return [at.type("pull", MODEL, until=r"(?ms)^ [4-9]\d%  .*hub\S+ \d.* mirror-a \d.* mirror-b \d.*^model")]


def doctor(folder: Path) -> list[Recording]:
    """What limits the speed here."""
    with desk(folder) as at:
        return [at.type("doctor", MODEL)]


TERMINALS = {"plan": plan, "pull": pull, "doctor": doctor}
