"""Pulls to break: a first one, of a moved branch, into a plain folder, of a part that is there, of a gated repo."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.conftest import wanted
from tests.e2e.machine import Machine, until
from tests.support.content import MIB, generate
from tests.support.hub import LoopbackHub
from tests.support.repos import Repo
from tests.support.shaping import Shape

SIZE = 3 * MIB
"""Large enough for several ranges and a journal."""
RATE = 8 * MIB
Content = Mapping[str, bytes]

_FIRST = {"model.safetensors": generate(SIZE, 1), "config.json": b'{"a": 1}', "sub/notes.md": b"notes"}
_LATER = {"model.safetensors": generate(SIZE, 2), "config.json": b'{"a": 2}'}


@dataclass
class Stage:
    """A scenario that is set up: what serves it, and a way to new machines on which its pull can be run."""

    hub: LoopbackHub
    repo: Repo
    token: str
    words: tuple[str, ...]
    before: Content | None
    """What readers find before the pull; None: nothing."""
    after: Content
    template: Path | None = None
    """A home to begin with."""
    local_dir: str | None = None

    def machine(self, folder: Path) -> Machine:
        """A new machine in the state in which the pull begins."""
        made = Machine(folder, self.token, self.hub.url)
        if self.template is not None:
            shutil.copytree(self.template, made.home, symlinks=True, copy_function=_copy, dirs_exist_ok=True)
        return made

    @property
    def command(self) -> tuple[str, ...]:
        return ("pull", "--root", self.hub.url, "--json", *self.words)


def _copy(source: str, target: str) -> object:
    # A proof belongs to an inode: a copied blob would have to be proven again. Blobs are never written to.
    if Path(source).parent.name == "blobs":
        return os.link(source, target)
    return shutil.copy2(source, target)


def _first(stage: Stage, folder: Path) -> None:
    """Nothing is there."""


def _moved(stage: Stage, folder: Path) -> None:
    """An older commit is there, and the branch has moved."""
    stage.before = wanted(stage.repo)
    old = stage.machine(folder / "old")
    old.pull(*stage.words).ended(0)
    stage.template = old.home
    stage.repo.commit(_LATER)
    stage.after = wanted(stage.repo)


def _local(stage: Stage, folder: Path) -> None:
    """Into a plain folder, besides the cache."""
    stage.words += ("--local-dir", "plain")
    stage.local_dir = "plain"


def _resumed(stage: Stage, folder: Path) -> None:
    """A run was killed in the middle of the large file."""
    old = stage.machine(folder / "old")
    stage.hub.faces["cdn"].shape = Shape(total_rate=SIZE)
    running = old.start_pull(*stage.words)
    assert stage.hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") >= SIZE // 2, 20)
    assert until(lambda: any(old.stage.glob("*.journal")))
    running.signal(signal.SIGKILL)
    old.stop()
    running.end(10)
    assert old.aria2_ended()
    stage.hub.faces["cdn"].shape = Shape(total_rate=RATE)
    stage.template = old.home


def _gated(stage: Stage, folder: Path) -> None:
    """Python fetches the small files itself, since aria2 gets no token."""


SCENARIOS: dict[str, Callable[[Stage, Path], None]] = {
    "first": _first,
    "moved": _moved,
    "local": _local,
    "resumed": _resumed,
    "gated": _gated,
}


@contextmanager
def set_up(name: str, folder: Path, token: str) -> Iterator[Stage]:
    """The scenario, with a hub of its own; `folder` is for what it needs."""
    gated = "auto" if name == "gated" else False
    repo = Repo("model", "org/m", _FIRST, gated=gated)  # type: ignore[arg-type]
    with LoopbackHub([repo], tokens={token: {"org/m"}}, cdn_shape=Shape(total_rate=RATE)) as hub:
        stage = Stage(hub, repo, token, ("org/m",), None, wanted(repo))
        SCENARIOS[name](stage, folder)
        yield stage
        saw = {seen.face for seen in hub.log.requests() if token in str(seen.headers) + seen.query}
        assert saw <= {"hub"}, "the token reached someone who must not have it"
