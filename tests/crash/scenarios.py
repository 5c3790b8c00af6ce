"""Commands to break: pulls of all kinds, an import, and a folder made of the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hub.content import MIB, generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import wanted
from tests.machine.machine import Machine, until

SIZE = 3 * MIB
"""Large enough for several ranges and a journal."""
RATE = 8 * MIB
Content = Mapping[str, bytes]

_FIRST = {"model.safetensors": generate(SIZE, 1), "config.json": b'{"a": 1}', "sub/notes.md": b"notes"}
_LATER = {"model.safetensors": generate(SIZE, 2), "config.json": b'{"a": 2}'}


@dataclass
class Stage:
    """A scenario that is set up: what serves it, and a way to new machines on which its command can be run."""

    hub: LoopbackHub
    repo: Repo
    token: str
    command: tuple[str, ...]
    """The words after `glm-aria`."""
    before: Content | None
    """What readers find before the pull; None: nothing."""
    after: Content
    template: Path | None = None
    """A home to begin with."""
    local_dir: str | None = None
    """Where the result is, too, below the working directory."""
    fills_cache: bool = True
    """False: `local_dir` is all there is."""
    goes_on: bool = False
    """One file that fails does not end the command; the exit code is then 3."""

    def machine(self, folder: Path) -> Machine:
        """A new machine in the state in which the pull begins."""
        made = Machine(folder, self.token, self.hub.url)
        if self.template is not None:
            shutil.copytree(self.template, made.home, symlinks=True, copy_function=_copy, dirs_exist_ok=True)
        return made


def _copy(source: str, target: str) -> object:
    # A proof belongs to an inode: a copied blob would have to be proven again. Blobs are never written to.
    if Path(source).parent.name == "blobs":
        os.link(source, target)
        return target
    return shutil.copy2(source, target)


def _first(stage: Stage, folder: Path) -> None:
    """Nothing is there."""


def _moved(stage: Stage, folder: Path) -> None:
    """An older commit is there, and the branch has moved."""
    stage.before = wanted(stage.repo)
    old = stage.machine(folder / "old")
    old.run(*stage.command).ended(0)
    stage.template = old.home
    stage.repo.commit(_LATER)
    stage.after = wanted(stage.repo)


def _local(stage: Stage, folder: Path) -> None:
    """Into a plain folder, besides the cache."""
    stage.command += ("--local-dir", "plain")
    stage.local_dir = "plain"


def _resumed(stage: Stage, folder: Path) -> None:
    """A run was killed in the middle of the large file."""
    old = stage.machine(folder / "old")
    stage.hub.faces["cdn"].shape = Shape(total_rate=SIZE)
    running = old.start(*stage.command)
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


def _single(stage: Stage, folder: Path) -> None:
    """A file by its address and digest, for which no cache is needed."""
    digest = hashlib.sha256(_FIRST["model.safetensors"]).hexdigest()
    address = f"{stage.hub.url}/org/m/resolve/main/model.safetensors"
    stage.command = ("pull", address, "--sha256", digest, "--local-dir", "plain", "--json")
    stage.local_dir, stage.fills_cache = "plain", False
    stage.after = {"model.safetensors": _FIRST["model.safetensors"]}


def _imported(stage: Stage, folder: Path) -> None:
    """From a folder with other names."""
    usb = folder / "old" / "usb"
    usb.mkdir(parents=True)
    for number, data in enumerate(_FIRST.values()):
        (usb / f"{number}.bin").write_bytes(data)
    stage.template, stage.goes_on = usb.parent, True
    stage.command = ("cache", "import", "../home/usb", "--model", "org/m", "--root", stage.hub.url, "--json")


def _linked(stage: Stage, folder: Path) -> None:
    """A folder of copies, of what the cache has."""
    old = stage.machine(folder / "old")
    old.run(*stage.command).ended(0)
    stage.template, stage.before = old.home, stage.after
    stage.command = ("cache", "link", "org/m", "plain", "--layout", "flat", "--copy", "--json")
    stage.local_dir = "plain"


SCENARIOS: dict[str, Callable[[Stage, Path], None]] = {
    "first": _first,
    "moved": _moved,
    "local": _local,
    "resumed": _resumed,
    "gated": _gated,
    "single": _single,
    "imported": _imported,
    "linked": _linked,
}


@contextmanager
def set_up(name: str, folder: Path, token: str) -> Iterator[Stage]:
    """The scenario, with a hub of its own; `folder` is for what it needs."""
    gated = "auto" if name == "gated" else False
    repo = Repo("model", "org/m", _FIRST, gated=gated)  # type: ignore[arg-type]
    with LoopbackHub([repo], tokens={token: {"org/m"}}, cdn_shape=Shape(total_rate=RATE)) as hub:
        command = ("pull", "--root", hub.url, "--json", "org/m")
        stage = Stage(hub, repo, token, command, None, wanted(repo))
        SCENARIOS[name](stage, folder)
        yield stage
        saw = {seen.face for seen in hub.log.requests() if token in str(seen.headers) + seen.query}
        assert saw <= {"hub"}, "the token reached someone who must not have it"
