"""One run over a line: the command at the client, what happens meanwhile, and what the line saw of it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from scripts.benchlib import peers
from scripts.benchlib.measure import run
from scripts.lineslib.cases import Case, Event
from tests.lines.emulator import Lines
from tests.lines.sites import ROOT, Far, Serving, far_sites, tcp_counts

_EVERY_S = 0.1
_STOP_AFTER, _STOP_S = 4, 120.0
"""A client that takes so many times the limit, and so many seconds, is stopped; its time follows from its mean rate."""
_PROGRAMS = ("glm-aria", "root alone")
_BOUND = Path(__file__).with_name("receive.c")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who runs: a name of `benchlib.peers`, more words for its command, and another clone of glm-aria."""

    name: str
    options: tuple[str, ...] = ()
    tree: Path | None = None

    @classmethod
    def read(cls, text: str) -> Peer:
        """`aria2c`, `glm-aria:--connections 64` or `glm-aria@FOLDER`. Raises ValueError."""
        rest, _, options = text.partition(":")
        name, _, tree = rest.partition("@")
        if name not in peers.NAMES or (tree and name not in _PROGRAMS):
            raise ValueError(f"unknown peer {name!r}: {', '.join(peers.NAMES)}")
        return cls(name, tuple(shlex.split(options)), Path(tree).resolve() if tree else None)

    @property
    def label(self) -> str:
        tree = f"@{self.tree.name}" if self.tree else ""
        return f"{self.name}{tree}" + (f" {shlex.join(self.options)}" if self.options else "")


@dataclass(frozen=True, slots=True)
class Ping:
    """Round trips beside a run, in milliseconds: the median, and what 95 % stay below."""

    median_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Taken:
    """One run whose result was checked. Seconds of a stopped one are told from its mean rate.

    `share` is content over what the line could bring; `served` is over the content. `retransmitted` is the servers'
    share of segments. `overflowed` and `lost` are packets towards the client. Of the bytes that came through the
    access line, `first_s` is when 5 % were there, `filled` the share of the line while 5-90 % came, `tail_s` how long
    the last 10 % took and `tail_limit_s` how long they would take on a full line.
    """

    peer: str
    is_whole: bool
    seconds: float
    limit_s: float
    share: float
    served: float
    cpu_s: float
    peak_mb: float
    connections: int
    retransmitted: float
    lost: int
    overflowed: int
    first_s: float
    filled: float
    tail_s: float
    tail_limit_s: float
    ping: Ping | None = None


class World:
    """A client, the lines of a case and their sites, ready for one run after another."""

    def __init__(self, case: Case, lines: Lines, far: Far, folder: Path) -> None:
        self.case, self._lines, self._far, self._folder = case, lines, far, folder
        self.repo = far.repo
        self.size = sum(file["size"] for file in self.repo.files.values())
        self.limit_s = case.limit_s(self.size)
        self._stop_after_s = max(_STOP_AFTER * self.limit_s, _STOP_S)
        self._runs = 0

    @classmethod
    @contextmanager
    def open(cls, case: Case, folder: Path, data: Path) -> Iterator[World]:
        """Make it; `folder` is its own, and `data` keeps big files."""
        with Lines.open(folder, len(case.shapes)) as lines:
            lines.shape(None, case.access)
            for number, shape in enumerate(case.shapes):
                lines.shape(number, shape)
            with far_sites(lines, folder, data, Serving(case.model, case.congestion, case.rate)) as far:
                yield cls(case, lines, far, folder)

    def idle_ping(self) -> Ping:
        with _pinging(self._lines, self._folder) as pings:
            time.sleep(10)
        return pings()

    def once(self, peer: Peer) -> Taken:
        """Fetch everything into an empty home, and check each byte. Raises RuntimeError when it is not right."""
        self._runs += 1
        home = self._folder / f"home-{self._runs}"
        home.mkdir()
        argv, env = self._command(peer, home)
        before, opened, answered = self._counts(), self._opened(), self._served()
        with Watch.over(self._lines, self.case.events) as watch:
            beside = _pinging(self._lines, self._folder) if self.case.has_ping else nullcontext()
            with beside as pings:
                taken = run([*self._lines.at_client, *argv], env, home / "output.log", self._stop_after_s)
        self._settle()
        if taken.is_whole:
            peers.check(peer.name, self.repo, home)
        after = self._counts()
        sent = {key: after[key] - before[key] for key in after}
        shutil.rmtree(home)
        came, size = watch.came(taken.wall_s), self.size
        seconds = taken.wall_s if taken.is_whole else taken.wall_s * size / max(came[-1][1] * self.content_share, 1)
        first, ninety = _when(came, 0.05), _when(came, 0.9)
        rate = self.case.line_rate
        return Taken(
            peer.label,
            taken.is_whole,
            seconds,
            self.limit_s,
            size * 8 / seconds / rate,
            (self._served() - answered) / size,
            taken.cpu_s,
            taken.peak_mb,
            self._opened() - opened,
            sent["RetransSegs"] / max(sent["OutSegs"], 1),
            sent["lost"],
            sent["overflowed"],
            first,
            0.85 * came[-1][1] * 8 / rate / max(ninety - first, _EVERY_S),
            taken.wall_s - ninety,
            0.1 * came[-1][1] * 8 / rate,
            pings() if pings else None,
        )

    content_share = 0.93
    """Of the bytes of a packet on a line that loses a little: content."""

    def _command(self, peer: Peer, home: Path) -> tuple[list[str], dict[str, str]]:
        options = (*self.case.options.get(peer.name, ()), *peer.options)
        argv = peers.command(peer.name, self.repo, home)
        if peer.name == "aria2c":
            argv.append(f"--ca-certificate={self._far.ca}")
        argv += options
        env = self._far.environment(home, peer.tree or ROOT)
        if self.case.receive:
            env["PATH"] = f"{bounded(self._folder, self.case.receive)}{os.pathsep}{env['PATH']}"
        argv[0] = shutil.which(argv[0], path=env["PATH"]) or argv[0]
        return argv, env

    def _counts(self) -> dict[str, int]:
        """Of all servers and lines: segments, and packets towards the client that did not come."""
        tcp = [site.tcp() for site in self._far.sites]
        stages = [stage for name, stage in self._lines.stats().items() if name.endswith(".down")]
        summed = {key: sum(counts[key] for counts in tcp) for key in ("RetransSegs", "OutSegs")}
        return summed | {key: sum(stage[key] for stage in stages) for key in ("lost", "overflowed")}

    def _opened(self) -> int:
        words = [*self._lines.at_client, "cat", "/proc/net/snmp"]
        return tcp_counts(subprocess.run(words, capture_output=True, text=True, check=True).stdout)["ActiveOpens"]

    def _served(self) -> int:
        return sum(answered.bytes for answered in self._far.answered())

    def _settle(self) -> None:
        """Let the lines live again, black connections too, and wait until nothing is on its way any more."""
        self._lines.stop(None, dead=False)
        for number in range(len(self.case.shapes)):
            self._lines.forget(number)
        wait = max(1.0, 3 * max(shape.round_trip_s + shape.queue_s for shape in self.case.shapes))
        before = -1
        while (now := self._lines.stats()["access.down"]["packets"]) != before:
            before = now
            time.sleep(wait)


class Watch:
    """What came through the access line, every tenth of a second, while events befall it at their times."""

    def __init__(self, lines: Lines, events: Sequence[Event]) -> None:
        self._lines, self._events, self._stop = lines, list(events), threading.Event()
        self._begin, self._samples = time.monotonic(), list[tuple[float, int]]()

    @classmethod
    @contextmanager
    def over(cls, lines: Lines, events: Sequence[Event]) -> Iterator[Watch]:
        watch = cls(lines, events)
        thread = threading.Thread(target=watch._follow)
        thread.start()
        try:
            yield watch
        finally:
            watch._stop.set()
            thread.join()

    def came(self, until_s: float) -> list[tuple[float, int]]:
        """Seconds since the start, and bytes by then."""
        first = self._samples[0][1]
        return [(at, count - first) for at, count in self._samples if at <= until_s + _EVERY_S]

    def _follow(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(_EVERY_S)
            at = time.monotonic() - self._begin
            while self._events and at >= self._events[0].at_s:
                event = self._events.pop(0)
                if event.what == "black":
                    self._lines.blacken(event.server)
                else:
                    self._lines.stop(None, dead=event.what == "dead")
            self._samples.append((at, self._lines.stats()["access.down"]["bytes"]))


def _when(came: Sequence[tuple[float, int]], share: float) -> float:
    """When this share of all bytes had come, in seconds."""
    wanted = came[-1][1] * share
    return next(at for at, count in came if count >= wanted)


@contextmanager
def _pinging(lines: Lines, folder: Path) -> Iterator[Callable[[], Ping]]:
    """Ping the root; what is given tells the round trips once the block has ended."""
    log = folder / "ping.log"
    words = [*lines.at_client, "ping", "-n", "-i", "0.2", lines.servers[0].address]
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output)
    try:
        yield lambda: _pings(log)
    finally:
        process.terminate()
        process.wait()


def _pings(log: Path) -> Ping:
    times = [float(text) for text in re.findall(r"time=([\d.]+) ms", log.read_text())]
    return Ping(median(times), quantiles(times, n=20)[-1])


def bounded(folder: Path, size: int) -> Path:
    """A folder with an aria2c whose receive buffers are at most `size` bytes, as with that `net.core.rmem_max`."""
    bin_folder, library = folder / "bin", folder / "receive.so"
    if not bin_folder.exists():
        words = ["cc", "-O2", "-shared", "-fPIC", f"-DMOST={size}", "-o", str(library), str(_BOUND), "-ldl"]
        subprocess.run(words, check=True)
        bin_folder.mkdir()
        script = bin_folder / "aria2c"
        script.write_text(f'#!/bin/sh\nLD_PRELOAD={library} exec {shutil.which("aria2c")} "$@"\n')
        script.chmod(0o755)
    return bin_folder


def versions() -> str:
    """What was measured."""
    from scripts.benchlib.__main__ import versions as found

    return f"Python {sys.version.split()[0]}, {found()}"
