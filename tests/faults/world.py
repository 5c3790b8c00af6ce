"""One machine, one model, its sources: what is wrong with them, and what must hold after a run whatever went wrong."""

from __future__ import annotations

import os
import re
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.table import Case, Place, Victim
from tests.hub.content import MIB, blob_names, generate
from tests.hub.loopback import LoopbackHub, Site
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, Result, Running, cmdline, content

NAME = "org/m"
# Not what a terminal obeys, or what turns the reading direction around.
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@cache
def files() -> Mapping[str, bytes]:
    """Big enough for several ranges, one that needs a question before it is fetched (over 8 MiB), and small ones."""
    return {
        "config.json": b'{"a": 1}\n',
        "model-1.safetensors": generate(9 * MIB, 1),
        "model-2.safetensors": generate(2 * MIB + 777, 2),
        "sub/small.bin": generate(40_000, 3),
        "tokenizer.json": generate(50_000, 4),
    }


@dataclass
class World:
    """Made by the `world` fixture. `decoy` is a folder beside the machine's that nothing may touch."""

    machine: Machine
    make_hub: MakeHub
    decoy: Path
    random: Random
    deadline_s: float = 60
    peak_kib: int = 0
    """Of the last command."""
    repo: Repo = field(default_factory=lambda: Repo("model", NAME, files()))
    mirrors: dict[str, Site] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    """Of the hub and its CDN."""
    env: dict[str, str | None] = field(default_factory=dict)
    """Beside the machine's, for every command."""
    _before: dict[str, object] = field(default_factory=dict)
    _hub: LoopbackHub | None = None

    def __post_init__(self) -> None:
        self.decoy.mkdir()
        (self.decoy / "precious").write_text("mine")
        self.machine.hf_home.mkdir()
        (self.machine.hf_home / "other").write_text("mine")

    @property
    def hub(self) -> LoopbackHub:
        """The hub of the model; made at its first use."""
        if self._hub is None:
            self._hub = self.make_hub(self.repo, tls=self.tls)
        return self._hub

    @property
    def host(self) -> str:
        """The root's host and port, as messages name it."""
        return self.hub.url.partition("://")[2]

    def victim(self, *, lfs_only: bool = False, least: int = 1000, most: int = 1 << 40) -> Victim:
        """A file of more than `least` and up to `most` bytes that the seed chooses."""
        commit = self.repo.resolve("main")
        assert commit is not None
        able = [file for file in commit.files.values() if least < file.size <= most and (file.sha256 or not lfs_only)]
        chosen = self.random.choice(able)
        return Victim(chosen.path, chosen.size, chosen.sha256 is not None)

    def add_mirrors(self, *names: str) -> list[str]:
        """Make mirrors; returns the words that name them."""
        words = []
        for name in names:
            self.mirrors[name] = self.hub.mirror(name)
            words += ["--mirror", self.mirrors[name].url]
        return words

    def arm(self, case: Case, place: Place, victim: Victim) -> list[str]:
        """Make the sources of `place` wrong; returns the words that name the mirrors."""
        names = {Place.ALONE: (), Place.MIRROR: ("near", "far"), Place.ROOT: ("near",), Place.EVERY: ("near", "far")}
        words = self.add_mirrors(*names[place])
        wrong = []
        if place is not Place.MIRROR:
            holder = "cdn" if victim.is_lfs else "hub"
            wrong.append(self.random.choice(["hub", holder]) if case.at_resolve else holder)
        if place is Place.MIRROR:
            wrong.append("near")
            # The bad mirror is the quickest by far, so that it is used.
            self.hub.faces["cdn"].shape = self.hub.faces["far"].shape = Shape(total_rate=4 * MIB)
        if place is Place.EVERY:
            wrong += ["near", "far"]
        for face in wrong:
            self.hub.fault(*case.arm(self.random, victim), face=face)
        return words

    def pull(
        self,
        *words: str,
        name: str = NAME,
        env: Mapping[str, str | None] | None = None,
        prefix: Sequence[str] = (),
    ) -> Result:
        """Pull the model, watched. It must end before the deadline."""
        assert self.hub.url, "there is a hub"
        self.begin()
        command = ("pull", "--root", self.machine.root, "--json", name, *words)
        return self.watch(self.machine.start(*command, env={**self.env, **(env or {})}, under=prefix))

    def begin(self) -> None:
        """Look at what lies outside of the machine's own folders, before the first command of a run."""
        self._before = self._outside()

    def watch(self, running: Running) -> Result:
        """The result of a command, and its peak of memory; the token must not be an argument of any process."""
        with watching(self.machine.token, running.pid) as seen:
            result = running.end(self.deadline_s)
        assert seen.leaks == [], f"the token is an argument of {seen.leaks}"
        self.peak_kib = seen.peak_kib
        return result

    # -- what must hold

    def ended(self, result: Result, code: int, *names: str) -> Result:
        """Assert the exit code, and all that must hold with it. `names`: the message tells one of these."""
        self.ended_elsewhere(result, code, *names)
        self.check_cache(whole=code == 0)
        return result

    def ended_elsewhere(self, result: Result, code: int, *names: str) -> Result:
        """The same for a cache that lies where the caller looks at it."""
        result.ended(code)
        self.check_harmless(result)
        assert self._outside() == self._before, "something was written outside of the machine's own folders"
        if code:
            self.check_message(result.document["errors"], names)
        return result

    def check_harmless(self, result: Result) -> None:
        """Nothing that a terminal obeys was printed."""
        raw = RAW.findall(result.out + result.err)
        assert raw == [], f"raw characters reached the terminal: {raw}"

    def check_words(self, result: Result) -> None:
        """What people read says what failed and what to do, in lines of ours only."""
        self.check_harmless(result)
        lines = result.err.splitlines()
        assert any(line.startswith("error: ") for line in lines)
        assert any(line.startswith("hint: ") for line in lines)
        assert all(
            line.startswith(("error: ", "hint: ", "more: ", "warning: ", NAME, f"ms://{NAME}")) for line in lines
        ), result.err

    def check_message(self, errors: list[dict[str, Any]], names: tuple[str, ...]) -> None:
        """Each error says which file or source, and what to do next."""
        for error in errors:
            told = " ".join(str(error[part]) for part in ("message", "hint", "file", "mirror"))
            assert not names or any(name in told for name in names), f"{told!r} names none of {names}"
            assert error["hint"], f"no hint: {error['message']}"

    def check_cache(self, *, whole: bool) -> None:
        """Every blob and every link to one is right; the model is there as a whole, or no ref says so."""
        folder = self.machine.cache / "models--org--m"
        expected = wanted(self.repo)
        for blob in folder.glob("blobs/*"):
            data = blob.read_bytes()
            assert blob.name in blob_names(data), f"{blob.name} is wrong"
        for snapshot in folder.glob("snapshots/*"):
            for path, data in content(snapshot).items():
                assert expected[path] == data, f"{path} is wrong"
            for link in snapshot.rglob("*"):
                assert not link.is_symlink() or link.resolve().is_relative_to(folder / "blobs"), f"{link} leads away"
        if whole:
            assert content(self.machine.snapshot("model/org/m", self.repo.head)) == expected
            assert (folder / "refs" / "main").read_text() == self.repo.head
        else:
            assert not list(folder.glob("refs/*")), "a ref names a model that is not there"
        if self.machine.cache.exists():
            known = {"models--org--m", ".locks", "CACHEDIR.TAG"}
            assert {path.name for path in self.machine.cache.iterdir()} <= known

    def check_nothing_placed(self) -> None:
        """Not even a folder of the model is there."""
        assert not list(self.machine.cache.glob("models--*"))
        self.hub.log.settle()
        fetched = [seen.file for status in (200, 206) for seen in self.hub.log.requests(method="GET", status=status)]
        assert not any(fetched), "bytes were fetched for a listing that is refused"

    def _outside(self) -> dict[str, object]:
        """All that lies beside the folders where glm-aria may write: the machine's and the decoy."""
        machine = self.machine
        own = (machine.cache, machine.hf_home / "glm-aria", machine.home / ".cache", machine.runtime)
        found: dict[str, object] = {}
        for at, folders, names in os.walk(self.machine.folder.parent):
            folders[:] = [name for name in folders if Path(at, name) not in own]
            for name in (*folders, *names):
                path = Path(at, name)
                kind = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
                found[str(path)] = kind
        return found


@dataclass
class Seen:
    """What was seen of processes: arguments that hold a secret, and the peak of one's memory in KiB."""

    leaks: list[str] = field(default_factory=list)
    peak_kib: int = 0


@contextmanager
def watching(secret: str, pid: int) -> Iterator[Seen]:
    """Look at the arguments of every process since `pid`, and at its memory, until the block ends."""
    seen = Seen()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
            # What it starts has a higher number: nothing of what a busy machine runs besides needs to be read.
            seen.leaks.extend(line for each in pids if each >= pid and secret in (line := cmdline(each)))
            seen.peak_kib = max(seen.peak_kib, peak_kib(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def peak_kib(pid: int) -> int:
    """The most memory that the process ever had, in KiB; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) if found else 0
