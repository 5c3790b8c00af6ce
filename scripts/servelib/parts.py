"""What is measured of a server in the house: one function a part, which gives the rows of its table.

The ways take turns within a round. A server starts with nothing for each run of a cold part, and every copy that a
client got is checked outside the timing. Bytes are counted where they were sent: at the Hub, its CDN and its mirrors.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.benchlib import peers
from scripts.benchlib.__main__ import ask, empty
from scripts.benchlib.measure import cpu_of, run
from scripts.benchlib.report import spread
from scripts.servelib.ways import WAYS, Open, Way, is_there, serve, static

OURS = "glm-aria serve"
_MIB = 1 << 20
_EARLY = "unknown/None; hf_hub/2.4.0; python/3.11; huggingface-cli/2.4.0"
"""A client that may have bytes before their proof, by its User-Agent."""


@dataclass
class Ground:
    """Where a part runs: the state of its Hub, as tests/hub/__main__.py describes it, and a folder."""

    state: Mapping[str, Any]
    folder: Path
    rounds: int
    _made: int = 0

    @property
    def repo(self) -> peers.Repo:
        return peers.Repo.of(self.state)

    @property
    def size(self) -> int:
        """Bytes of the whole repo."""
        return sum(int(known["size"]) for known in self.repo.files.values())

    def new(self) -> Path:
        """An empty folder. All stay to the end: see `benchlib.empty`."""
        self._made += 1
        made = self.folder / str(self._made)
        made.mkdir()
        return made

    def reset(self) -> None:
        """Forget what was sent."""
        ask(dict(self.state), "__reset")
        os.sync()

    def sent(self) -> float:
        """Bytes that were sent for files since then, over the size of the repo."""
        return sum(int(one["bytes_sent"]) for one in ask(dict(self.state), "__log") if one["file"]) / self.size


Rows = list[tuple[str, ...]]
"""The head of a table and its lines."""


# -- cold


def cold(ground: Ground) -> Rows:
    """The same client through each way, with nothing there."""
    ways = {name: way for name, way in WAYS.items() if is_there(name)}
    taken = _by_turns(ground, ways, _hf)
    return _beside(taken, "origin")


def small(ground: Ground) -> Rows:
    """Many small files, with nothing there."""
    return _beside(_by_turns(ground, {name: WAYS[name] for name in (OURS, "origin")}, _hf), "origin")


def first_byte(ground: Ground) -> Rows:
    """Seconds from the request for a large file to the first byte of it, in a repo that was asked about before."""
    ways = {name: way for name, way in WAYS.items() if is_there(name)}
    taken = _by_turns(ground, ways, _first_byte)
    return _beside(taken, "origin")


@dataclass(frozen=True, slots=True)
class Taken:
    """One run: seconds, and bytes sent over the size."""

    seconds: float
    sent: float


def _by_turns(
    ground: Ground, ways: Mapping[str, Open], work: Callable[[Ground, Way, Path], float]
) -> dict[str, list[Taken]]:
    taken: dict[str, list[Taken]] = {name: [] for name in ways}
    for number in range(ground.rounds):
        for name, way in ways.items():
            folder = ground.new()
            with way(ground.state, folder / "server") as opened:
                ground.reset()
                seconds = work(ground, opened, folder)
                taken[name].append(Taken(seconds, ground.sent()))
            _say(f"{number + 1} {name}: {seconds:.3f} s, {taken[name][-1].sent:.3f} of the size sent")
            empty(folder)
    return taken


def _hf(ground: Ground, way: Way, folder: Path, count: int = 1) -> float:
    """The seconds until so many clients that began together have all of it."""
    homes = [folder / f"client-{number}" for number in range(count)]
    with ThreadPoolExecutor(count) as pool:
        seconds = max(pool.map(lambda home: _download(ground, way, home), homes))
    for home in homes:
        peers.check("hf", ground.repo, home)
    return seconds


def _download(ground: Ground, way: Way, home: Path) -> float:
    home.mkdir()
    repo = replace(ground.repo, url=way.url)
    environment = peers.environment(repo, home)
    argv = peers.command("hf", repo, home)
    argv[0] = shutil.which(argv[0], path=environment["PATH"]) or argv[0]
    return run(argv, environment, home / "output.log").wall_s


def _first_byte(ground: Ground, way: Way, folder: Path) -> float:  # noqa: ARG001 - nothing is kept
    path = next(path for path, known in ground.repo.files.items() if known["sha256"])
    subprocess.run(["curl", "-sSf", f"{way.url}/api/models/{ground.repo.name}"], check=True, capture_output=True)
    began = time.monotonic()
    url = replace(ground.repo, url=way.url).address(path)
    for _ in range(5):
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        connection.request("GET", f"{parts.path}?{parts.query}", headers={"User-Agent": _EARLY})
        answer = connection.getresponse()
        if answer.status < 300:
            answer.read(1)
            connection.close()
            return time.monotonic() - began
        url = answer.headers["Location"]
        connection.close()
    raise RuntimeError(f"no file at {url}")


def _beside(taken: Mapping[str, list[Taken]], peer: str) -> Rows:
    rows: Rows = [("way", "seconds", f"seconds / {peer}", "bytes sent / size")]
    for name, runs in taken.items():
        pairs = zip(runs, taken[peer], strict=True)
        ratio = "" if name == peer else spread([one.seconds / other.seconds for one, other in pairs])
        rows.append((name, spread([one.seconds for one in runs]), ratio, spread([one.sent for one in runs])))
    return rows


# -- warm


def warm(ground: Ground) -> Rows:
    """A file that is there, to one client and to eight at once, beside nginx with the same file."""
    rows: Rows = [("clients", "MB/s of glm-aria serve", "MB/s of nginx", "glm-aria / nginx", "CPU s / GB", "nginx")]
    with _filled(ground) as (ours, blobs), static(blobs, ground.new()) as theirs:
        (path,) = [path for path, known in ground.repo.files.items() if known["sha256"]]
        urls = {OURS: replace(ground.repo, url=ours.url).address(path), "nginx": f"{theirs.url}/{blobs[0].name}"}
        pids = {OURS: [ours.pid], "nginx": _workers(theirs.pid)}
        for count in (1, 8):
            rates: dict[str, list[float]] = {name: [] for name in urls}
            costs: dict[str, list[float]] = {name: [] for name in urls}
            for _ in range(ground.rounds):
                for name, url in urls.items():
                    before, began = sum(map(cpu_of, pids[name])), time.monotonic()
                    _fetch(url, count)
                    moved = count * ground.size
                    rates[name].append(moved / 1e6 / (time.monotonic() - began))
                    costs[name].append((sum(map(cpu_of, pids[name])) - before) / moved * 1e9)
                    _say(f"{count} of {name}: {rates[name][-1]:.0f} MB/s, {costs[name][-1]:.2f} CPU s / GB")
            ratios = [our / their for our, their in zip(rates[OURS], rates["nginx"], strict=True)]
            speeds = [f"{statistics.median(rates[name]):.0f}" for name in urls]
            cost = [f"{statistics.median(costs[name]):.2f}" for name in urls]
            rows.append((str(count), *speeds, spread(ratios), *cost))
    return rows


@contextmanager
def _filled(ground: Ground) -> Iterator[tuple[Way, list[Path]]]:
    """A server that has the repo, and where its large files lie."""
    folder = ground.new()
    with serve(ground.state, folder / "server") as opened:
        _hf(ground, opened, folder)
        empty(folder / "client-0")
        blobs = (folder / "server" / "hf" / "hub").glob("models--*/blobs/*")
        yield opened, [blob for blob in blobs if blob.stat().st_size > _MIB]


def _fetch(url: str, count: int, *words: str) -> None:
    """Get a file with so many clients at once, which keep nothing."""
    argv = ["curl", "-sSf", "-o", "/dev/null", *words, url]
    processes = [subprocess.Popen(argv, stderr=subprocess.PIPE) for _ in range(count)]
    for process in processes:
        _, error = process.communicate()
        if process.returncode:
            raise RuntimeError(f"curl ended with {process.returncode}: {error.decode(errors='replace')}")


def _workers(pid: int) -> list[int]:
    """nginx's processes."""
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, told)]


# -- many at once


def crowd(ground: Ground) -> Rows:
    """32 clients that ask for one cold file at once."""
    rows: Rows = [("clients", "seconds", "bytes sent / size")]
    (path,) = [path for path, known in ground.repo.files.items() if known["sha256"]]
    taken = _by_turns(ground, {OURS: serve}, lambda ground, way, _: _timed(ground, way, path, 32))
    rows.append(("32", spread([one.seconds for one in taken[OURS]]), spread([one.sent for one in taken[OURS]])))
    return rows


def together(ground: Ground) -> Rows:
    """Two and eight machines that want the same model at once, beside olah."""
    rows: Rows = [("clients", "way", "seconds", "bytes sent / size")]
    ways = {name: WAYS[name] for name in (OURS, "olah") if is_there(name)}
    for count in (2, 8):
        taken = _by_turns(ground, ways, partial(_hf, count=count))
        for name, runs in taken.items():
            columns = spread([one.seconds for one in runs]), spread([one.sent for one in runs])
            rows.append((str(count), name, *columns))
    return rows


def memory(ground: Ground) -> Rows:
    """64 clients that get one file as it arrives, and 64 that get it once it is there."""
    rows: Rows = [("clients", "peak MB of the server")]
    (path,) = [path for path, known in ground.repo.files.items() if known["sha256"]]
    with serve(ground.state, ground.new() / "server") as opened:
        for moment in ("while it arrives", "from the cache"):
            _timed(ground, opened, path, 64, "-A", _EARLY, "--limit-rate", "4M")
            rows.append((f"64, {moment}", f"{opened.peak_mb:.0f}"))
            _say(f"64 {moment}: {opened.peak_mb:.0f} MB")
    return rows


def _timed(ground: Ground, way: Way, path: str, count: int, *words: str) -> float:
    began = time.monotonic()
    _fetch(replace(ground.repo, url=way.url).address(path), count, *words)
    return time.monotonic() - began


# -- `run`


def behind_run(ground: Ground) -> Rows:
    """`glm-aria run -- hf download` beside `hf download`, on a slow line with mirrors."""
    rows: Rows = [("command", "seconds", "seconds / hf", "most on the disk / size", "bytes sent / size")]
    taken: dict[str, list[tuple[float, float, float]]] = {"glm-aria run -- hf": [], "hf": []}
    for _ in range(ground.rounds):
        for name, kept in taken.items():
            home = ground.new()
            argv = peers.command("glm-aria" if "run" in name else "hf", ground.repo, home, behind_run="run" in name)
            environment = peers.environment(ground.repo, home)
            argv[0] = shutil.which(argv[0], path=environment["PATH"]) or argv[0]
            ground.reset()
            with _watched(home) as most:
                seconds = run(argv, environment, home / "output.log").wall_s
            peers.check("hf", ground.repo, home)
            kept.append((seconds, max(most) / ground.size, ground.sent()))
            _say(f"{name}: {seconds:.2f} s, {kept[-1][1]:.3f} on the disk, {kept[-1][2]:.3f} sent")
            empty(home)
    for name, runs in taken.items():
        pairs = zip(runs, taken["hf"], strict=True)
        ratio = "" if name == "hf" else spread([one[0] / hf[0] for one, hf in pairs])
        columns = [spread([one[index] for one in runs]) for index in range(3)]
        rows.append((name, columns[0], ratio, *columns[1:]))
    return rows


@contextmanager
def _watched(folder: Path) -> Iterator[list[int]]:
    """The bytes on the disk below a folder, looked at ten times a second."""
    most, is_over = [0], threading.Event()

    def look() -> None:
        while not is_over.wait(0.1):
            done = subprocess.run(["du", "-s", "--block-size=1", folder], capture_output=True, text=True, check=False)
            if found := re.match(r"\d+", done.stdout):
                most.append(int(found[0]))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        is_over.set()
        thread.join()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
