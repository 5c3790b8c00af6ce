"""A site and all that is behind it, with everything that goes wrong there, drawn by a seed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from orchestrator.desired.wish.address import ArtifactAddress, parse_source
from orchestrator.disk.space import RESERVE
from orchestrator.net.session import Net
from orchestrator.oci.client import Client
from orchestrator.oci.manifest import EMPTY, TITLE, Descriptor, Manifest, digest_of, render
from orchestrator.oci.registries import Registries
from tests.desired.following import GitRepository, Site, expected, git_daemon, small
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, until
from tests.servers.registry import RegistryServer

IN_GIT, IN_REGISTRY = ("org/a", "org/b", "org/c"), ("org/d", "org/e")
DAY = 86400.0
ROOM = 32 << 20
"""Bytes of the small volume beyond those that a pull leaves free in any case."""


@contextmanager
def small_home(machine: Machine) -> Iterator[bool]:
    """A volume of its own for the cache of a machine, which steps may fill; False where only root could mount one."""
    if os.geteuid() != 0:
        yield False
        return
    machine.hf_home.mkdir(parents=True, exist_ok=True)
    size = f"size={RESERVE + ROOM}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "small", str(machine.hf_home)], check=True)
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(machine.hf_home)], check=True)


@contextmanager
def client_of(address: ArtifactAddress) -> Iterator[Client]:
    with closing(Net()) as net:
        yield Client(Registries(net), address.repository)


def push(client: Client, tag: str, files: dict[str, bytes]) -> str:
    """Push files as an artifact, as `oras push` does; its digest."""
    layers = []
    for name, content in files.items():
        client.finish(client.begin(), digest_of(content), content)
        layers.append(Descriptor("application/octet-stream", digest_of(content), len(content), {TITLE: name}))
    config = Descriptor(EMPTY, digest_of(b"{}"), 2)
    client.finish(client.begin(), config.digest, b"{}")
    manifest = Manifest(config, tuple(layers), artifact_type="application/vnd.glm-aria.desired")
    return str(client.put(tag, render(manifest), manifest.media_type))


class Reader:
    """Reads the set of the moment again and again, in a thread; keeps the first thing that was wrong."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.wrong: BaseException | None = None
        self.reads = 0
        self._had = False
        self._gate = threading.Lock()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Without the reader."""
        with self._gate:
            yield

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            with self._gate:
                try:
                    found = self._site.seen()
                    assert found is not None or not self._had, "readers had a set, and have none"
                except BaseException as error:
                    self.wrong = error
                    return
            if found is not None:
                self._had = True
                self.reads += 1


class World:
    """The steps. After each the model in here knows what readers must have in the end."""

    def __init__(self, machine: Machine, make_hub: MakeHub, folder: Path, seed: int, *, can_fill: bool) -> None:
        self.random = random.Random(seed)
        self.repos: dict[str, Repo] = {name: small(name, n) for n, name in enumerate((*IN_GIT, *IN_REGISTRY), 1)}
        self.hub = make_hub(*self.repos.values())
        self.repository = GitRepository(folder / "served")
        self.folder = folder
        self.can_fill = can_fill
        self.machine = machine
        self._number = 100
        self.git_wish: dict[str, str] = {"m": IN_GIT[0]}
        self.artifact_wish: dict[str, str] = {"own": IN_REGISTRY[0]}
        self.repository.commit({"edge.toml": self._text(self.git_wish)})
        self.is_bad = {"git": False, "registry": False}

    @contextmanager
    def running(self) -> Iterator[None]:
        with (
            git_daemon(self.folder / "served") as self.daemon,
            RegistryServer(self.folder / "registry") as self.registry,
        ):
            address = parse_source(f"oci://{self.registry.url.partition('://')[2]}/fleet/edge:site")
            assert isinstance(address, ArtifactAddress)
            self.address = address
            self.is_up = {"git": True, "registry": True}
            self._push(self._text(self.artifact_wish))
            self.site = Site(
                self.machine,
                *("--follow", f"{self.daemon.url}/fleet.git//edge.toml@main", "--follow", str(address)),
                *("--grace", "2s"),
            )
            self.site.start()
            try:
                with Reader(self.site) as self.reader:
                    yield
            finally:
                self.site.kill()

    # -- what may happen

    def step(self) -> str:
        """Do one thing; its name."""
        steps = [
            self.commits,
            self.commits,
            self.pushes,
            self.pushes,
            self.a_model_moves,
            self.rewrites_history,
            self.bad_manifest,
            self.git_away,
            self.git_back,
            self.registry_away,
            self.registry_back,
            self.killed,
            self.killed,
            self.restarted,
            self.clock_jumps,
            self.rot,
            self.loss,
            self.disk_full,
            self.disk_free,
        ]
        chosen = self.random.choice(steps)
        chosen()
        return chosen.__name__

    def commits(self) -> None:
        self.git_wish = self._drawn(IN_GIT, "m")
        self.repository.commit({"edge.toml": self._text(self.git_wish)})
        self.is_bad["git"] = False

    def rewrites_history(self) -> None:
        self.repository.git("checkout", "-q", "--orphan", f"o{time.monotonic_ns()}")
        self.repository.git("branch", "-q", "-M", "main")
        self.git_wish = self._drawn(IN_GIT, "m")
        self.repository.commit({"edge.toml": self._text(self.git_wish)}, force=True)
        self.is_bad["git"] = False

    def pushes(self) -> None:
        if self.is_up["registry"]:
            self.artifact_wish = self._drawn(IN_REGISTRY, "own")
            self._push(self._text(self.artifact_wish))
            self.is_bad["registry"] = False

    def bad_manifest(self) -> None:
        bad = self.random.choice(
            [
                "nonsense = [",
                "",
                '[[model]]\nref = "org/a"\nas = "../x"\n',
                self._text(self.git_wish) + "[[model]]\n",
                '[[model]]\nref = "org/a"\n[budget]\nwindow = "25:00"\n',
            ]
        )
        if self.random.random() < 0.5 and self.is_up["registry"]:
            self._push(bad)
            self.is_bad["registry"] = True
        else:
            self.repository.commit({"edge.toml": bad})
            self.is_bad["git"] = True

    def a_model_moves(self) -> None:
        repo = self.repos[self.random.choice(list(self.repos))]
        self._number += 1
        repo.commit(wanted(small(repo.name, self._number)))

    def git_away(self) -> None:
        self.daemon.stop()
        self.is_up["git"] = False

    def git_back(self) -> None:
        if not self.is_up["git"]:
            self.daemon.start()
            self.is_up["git"] = True

    def registry_away(self) -> None:
        if self.is_up["registry"]:
            self.registry.kill()
            self.is_up["registry"] = False

    def registry_back(self) -> None:
        if not self.is_up["registry"]:
            self.registry.start()
            self.is_up["registry"] = True

    def killed(self) -> None:
        # At a random moment of its work, not only at rest.
        until(lambda: False, self.random.random() * 0.6)
        self.site.kill()
        self.site.start()

    def restarted(self) -> None:
        if self.site.running is not None and self.site.running.process.poll() is None:
            self.site.running.signal(15)
            self.site.end()
        self.site.start()

    def clock_jumps(self) -> None:
        """For a node, a jump of its clock is that all that it noted is from another time."""
        self.site.kill()
        by = self.random.choice([-400 * DAY, -DAY, -60.0, 60.0, DAY, 400 * DAY])
        for file in (self.machine.hf_home / "glm-aria" / "desired").glob("*.json"):
            with contextlib.suppress(ValueError, KeyError):
                data = json.loads(file.read_text())
                data["left"] = {key: when + by for key, when in data["left"].items()}
                data["verified"] += by
                file.write_text(json.dumps(data))
        with contextlib.suppress(FileNotFoundError):
            moment = time.time() + by
            os.utime(self.site.sets / "current", (moment, moment), follow_symlinks=False)
        self.site.start()

    def rot(self) -> None:
        """A bit of a file of the set is another one: the disk lies, and readers meet it until it is seen."""
        if (blob := self._a_blob()) is not None:
            content = bytearray(blob.read_bytes())
            content[self.random.randrange(len(content))] ^= 1
            self._without_reader(blob, bytes(content))

    def loss(self) -> None:
        """A file of the set is gone."""
        if (blob := self._a_blob()) is not None:
            self._without_reader(blob, None)

    def disk_full(self) -> None:
        filler = self.machine.hf_home / "filler"
        if self.can_fill and not filler.exists():
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, ROOM)

    def disk_free(self) -> None:
        (self.machine.hf_home / "filler").unlink(missing_ok=True)

    # -- what must be true

    def converges(self) -> float:
        """Put all right that is not, and wait until readers have what is desired; seconds from the last change."""
        self.disk_free()
        self.git_back()
        self.registry_back()
        if self.is_bad["git"]:
            self.commits()
        if self.is_bad["registry"]:
            self.pushes()
        if self.site.running is None or self.site.running.process.poll() is not None:
            self.site.start()
        began = time.monotonic()
        assert until(self._is_right, 60), f"{json.dumps(self.site.status, indent=1)}\nwanted {sorted(self._wanted())}"
        return time.monotonic() - began

    def _is_right(self) -> bool:
        try:
            found = self.site.seen()
        except (FileNotFoundError, AssertionError):  # what this test broke itself
            return False
        status = self.site.status
        return found == self._wanted() and status["phase"] == "ready"

    def _wanted(self) -> dict[str, bytes]:
        wish = {**self.git_wish, **self.artifact_wish}
        return expected(*(self.repos[ref] for ref in wish.values()), names={ref: name for name, ref in wish.items()})

    def _drawn(self, refs: tuple[str, ...], first: str) -> dict[str, str]:
        chosen = self.random.sample(refs, self.random.randint(1, len(refs)))
        return {first if not number else f"{first}{number}": ref for number, ref in enumerate(chosen)}

    def _text(self, wish: dict[str, str]) -> str:
        tables = "".join(f'[[model]]\nref = "{ref}"\nas = "{name}"\n' for name, ref in wish.items())
        return f"# {self.random.random()}\n{tables}"

    def _push(self, text: str) -> None:
        with client_of(self.address) as client:
            push(client, "site", {"desired.toml": text.encode()})

    def _a_blob(self) -> Path | None:
        """A file of the set that readers have."""
        found = sorted((self.site.sets / "current" / "models").rglob("w.safetensors"))
        found = [path for path in found if path.exists()]
        return Path(os.path.realpath(self.random.choice(found))) if found else None

    def _without_reader(self, blob: Path, content: bytes | None) -> None:
        """Break a file, and let readers in again when that was put right: what a disk does, no program can hide."""
        with self.reader.away():
            if content is None:
                blob.unlink(missing_ok=True)
            else:
                with contextlib.suppress(FileNotFoundError):
                    blob.chmod(0o644)
                    blob.write_bytes(content)
            if self.site.running is None or self.site.running.process.poll() is not None:
                self.site.start()
            self.disk_free()
            assert until(self._is_whole, 60), json.dumps(self.site.status, indent=1)

    def _is_whole(self) -> bool:
        try:
            self.site.seen()
        except (FileNotFoundError, AssertionError):
            return False
        return True
