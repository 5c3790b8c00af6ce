"""One run over a line: the command at the client, and what the servers and the line saw of it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from scripts.benchlib import peers
from scripts.benchlib.measure import Run, run
from scripts.lineslib.cases import Case
from scripts.lineslib.watch import Beside, Ping, Timeline, Watch, curl_rate, curl_words, pinging
from tests.lines.emulator import Lines
from tests.lines.sites import ROOT, Far, Serving, far_sites, tcp_counts

_STOP_AFTER, _STOP_S = 3, 100.0
"""A client that takes so many times the limit, and so many seconds, is stopped; its time follows from its mean rate."""
_HEADERS = 52
"""Bytes of a packet that are IP's and TCP's, with time stamps."""
_CLONES = ("glm-aria", "root alone")
_BOUND = Path(__file__).with_name("receive.c")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who runs: a name of `benchlib.peers`, more words for its command, and the clone that glm-aria is taken from."""

    name: str
    options: tuple[str, ...] = ()
    clone: Path = ROOT

    @classmethod
    def read(cls, text: str) -> Peer:
        """`aria2c`, `glm-aria:--connections 64` or `glm-aria@FOLDER`. Raises ValueError."""
        rest, _, options = text.partition(":")
        name, _, clone = rest.partition("@")
        if name not in peers.NAMES or (clone and name not in _CLONES):
            raise ValueError(f"unknown peer {name!r}: {', '.join(peers.NAMES)}")
        return cls(name, tuple(shlex.split(options)), Path(clone).resolve() if clone else ROOT)

    @property
    def label(self) -> str:
        """Its name in a table."""
        return " ".join([self._who, *self.options])

    @property
    def typed(self) -> str:
        """What `read` takes, but for the folder of a clone, of which only the name is told."""
        return f"{self._who}:{shlex.join(self.options)}" if self.options else self._who

    @property
    def _who(self) -> str:
        return self.name if self.clone == ROOT else f"{self.name}@{self.clone.name}"


@dataclass(frozen=True, slots=True)
class Taken:
    """One run whose result was checked. The seconds of one that was stopped follow from its mean rate.

    `share` is the content over what the line could bring, `served` what the servers handed to their kernels over the
    content, `came` what came to the client over the content, without the headers of IP and TCP. `retransmitted` is the
    share of the servers' segments that were sent again; `lost` and `overflowed` count packets towards the client.
    """

    peer: str
    is_whole: bool
    seconds: float
    limit_s: float
    share: float
    served: float
    came: float
    cpu_s: float
    peak_mb: float
    connections: int
    retransmitted: float
    lost: int
    overflowed: int
    timeline: Timeline
    ping: Ping | None
    beside: Beside | None


class World:
    """A client, the lines of a case and their sites, ready for one run after another."""

    def __init__(self, case: Case, lines: Lines, far: Far, folder: Path) -> None:
        self.case, self._lines, self._far, self._folder = case, lines, far, folder
        self._repo = far.repo
        self._size = sum(file["size"] for file in self._repo.files.values())
        self.limit_s = case.limit_s(self._size)
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
        """Round trips of ten seconds in which nothing else is on the line."""
        with pinging(self._lines, self._folder) as pings:
            time.sleep(10)
        return pings()

    def curl_alone(self) -> float:
        """Bytes per second of the curl that runs beside others, when it is alone."""
        rate = curl_rate(subprocess.Popen(self._curl(), stdout=subprocess.PIPE, text=True))
        self._settle()
        return rate

    def once(self, peer: Peer) -> Taken:
        """Fetch everything into an empty home, and check each byte. Raises RuntimeError when it is not right."""
        self._runs += 1
        home = self._folder / f"home-{self._runs}"
        home.mkdir()
        argv, env = self._command(peer, home)
        before = self._counts()
        ping = pinging(self._lines, self._folder) if self.case.has_ping else nullcontext()
        with Watch.over(self.case, self._lines, self._curl()) as watch, ping as pings:
            taken = run(argv, env, home / "output.log", max(_STOP_AFTER * self.limit_s, _STOP_S))
        self._settle()
        if taken.is_whole:
            peers.check(peer.name, self._repo, home)
        shutil.rmtree(home)
        after = self._counts()
        counts = {key: after[key] - before[key] for key in after}
        return self._taken(peer, taken, counts, watch, pings() if pings else None)

    def _taken(self, peer: Peer, taken: Run, counts: dict[str, int], watch: Watch, ping: Ping | None) -> Taken:
        seconds = taken.wall_s
        if not taken.is_whole:
            seconds *= self._size / max(counts["served"], 1)
        return Taken(
            peer=peer.label,
            is_whole=taken.is_whole,
            seconds=seconds,
            limit_s=self.limit_s,
            share=self._size * 8 / seconds / self.case.line_rate,
            served=counts["served"] / self._size,
            came=(counts["bytes"] - _HEADERS * counts["packets"]) / self._size,
            cpu_s=taken.cpu_s,
            peak_mb=taken.peak_mb,
            connections=counts["opened"],
            retransmitted=counts["RetransSegs"] / max(counts["OutSegs"], 1),
            lost=counts["lost"],
            overflowed=counts["overflowed"],
            timeline=Timeline.of(watch.came(taken.wall_s), taken.wall_s, self.case.line_rate),
            ping=ping,
            beside=watch.beside(),
        )

    def _command(self, peer: Peer, home: Path) -> tuple[list[str], dict[str, str]]:
        argv = peers.command(peer.name, self._repo, home)
        argv += [f"--ca-certificate={self._far.ca}"] * (peer.name == "aria2c")
        argv += [*self.case.options.get(peer.name, ()), *peer.options]
        env = self._far.environment(home, peer.clone)
        if self.case.receive:
            env["PATH"] = f"{bounded(self._folder, self.case.receive)}{os.pathsep}{env['PATH']}"
        argv[0] = shutil.which(argv[0], path=env["PATH"]) or argv[0]
        return [*self._lines.at_client, *argv], env

    def _curl(self) -> list[str]:
        """Fetches the last file of the repository to nowhere."""
        return [*self._lines.at_client, *curl_words(self._repo.address(max(self._repo.files)), self._far.ca)]

    def _counts(self) -> dict[str, int]:
        """What has been so far, on all servers and lines: see `Taken`."""
        words = [*self._lines.at_client, "cat", "/proc/net/snmp"]
        client = tcp_counts(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        servers = [site.tcp() for site in self._far.sites]
        stats = self._lines.stats()
        stages = [stage for name, stage in stats.items() if name.endswith(".down")]
        found = {"opened": client["ActiveOpens"], "served": sum(answered.bytes for answered in self._far.answered())}
        found |= {key: sum(counts[key] for counts in servers) for key in ("RetransSegs", "OutSegs")}
        found |= {key: sum(stage[key] for stage in stages) for key in ("lost", "overflowed")}
        return found | {key: stats["access.down"][key] for key in ("bytes", "packets")}

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


def bounded(folder: Path, size: int) -> Path:
    """A folder with an aria2c whose receive buffers are at most `size` bytes, as with that `net.core.rmem_max`."""
    commands, library = folder / "bin", folder / "receive.so"
    if not commands.exists():
        words = ["cc", "-O2", "-shared", "-fPIC", f"-DMOST={size}", "-o", str(library), str(_BOUND), "-ldl"]
        subprocess.run(words, check=True)
        commands.mkdir()
        script = commands / "aria2c"
        script.write_text(f'#!/bin/sh\nLD_PRELOAD={library} exec {shutil.which("aria2c")} "$@"\n')
        script.chmod(0o755)
    return commands
