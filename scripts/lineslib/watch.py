"""What is seen of a line while a client uses it: the bytes that came, pings, and a download beside."""

from __future__ import annotations

import math
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from scripts.lineslib.cases import Case
from tests.lines.emulator import Lines

EVERY_S = 0.1
_CURL_S = 20
_RECOVERS_S = 2.0
"""What `--polite` may take to have the line again once it is free."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where the time went, by the bytes that came through the access line (headers and what was sent twice included).

    Seconds until 5 % of them were there; the share of the line while 5-90 % came; seconds that the last 10 % took, to
    the end of the client, and that they would take on a full line.
    """

    first_s: float
    filled: float
    tail_s: float
    tail_limit_s: float

    @classmethod
    def of(cls, came: Sequence[tuple[float, int]], wall_s: float, rate: float) -> Timeline:
        """From the bytes that had come by seconds since the start; `rate` of the line is in bits per second."""
        total = came[-1][1]
        first, ninety = (next(at for at, count in came if count >= share * total) for share in (0.05, 0.9))
        filled = 0.85 * total * 8 / rate / max(ninety - first, EVERY_S)
        return cls(first, filled, max(wall_s - ninety, 0.0), 0.1 * total * 8 / rate)


@dataclass(frozen=True, slots=True)
class Ping:
    """Round trips beside a run, in milliseconds: the median, and what 95 % stay below."""

    median_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Beside:
    """The bytes per second of a curl beside a run, and the share of the line that was used when it had gone."""

    rate: float
    after: float


class Watch:
    """Counts what comes through the access line, and has the events of a case happen at their times."""

    def __init__(self, case: Case, lines: Lines, beside: Sequence[str]) -> None:
        self._case, self._lines, self._beside, self._events = case, lines, beside, list(case.events)
        self._stop, self._begin = threading.Event(), time.monotonic()
        self._samples: list[tuple[float, int]] = []
        self._curl: subprocess.Popen[str] | None = None
        self._gone_s = 0.0

    @classmethod
    @contextmanager
    def over(cls, case: Case, lines: Lines, beside: Sequence[str] = ()) -> Iterator[Watch]:
        """Watch during the block. `beside` is the command of the event `curl`."""
        watch = cls(case, lines, beside)
        thread = threading.Thread(target=watch._follow)
        thread.start()
        try:
            yield watch
        finally:
            watch._stop.set()
            thread.join()

    def came(self, until_s: float) -> list[tuple[float, int]]:
        """Bytes by the seconds since the start, every tenth of one."""
        first = self._samples[0][1]
        return [(at, count - first) for at, count in self._samples if at <= until_s + EVERY_S]

    def beside(self) -> Beside | None:
        """What became of the curl, if there was one and it ended well before the client did."""
        total = self._samples[-1][1] - self._samples[0][1]
        after = [(at, count) for at, count in self.came(math.inf) if at >= self._gone_s + _RECOVERS_S]
        if self._curl is None or not self._gone_s or not after:
            return None
        (from_s, first), (to_s, last) = after[0], next(sample for sample in after if sample[1] >= 0.95 * total)
        used = (last - first) * 8 / self._case.line_rate / max(to_s - from_s, EVERY_S)
        return Beside(curl_rate(self._curl), used)

    def _follow(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(EVERY_S)
            at = time.monotonic() - self._begin
            while self._events and at >= self._events[0].at_s:
                self._happen(self._events.pop(0).what)
            self._samples.append((at, self._lines.stats()["access.down"]["bytes"]))
            if self._curl and not self._gone_s and self._curl.poll() is not None:
                self._gone_s = at
        if self._curl and self._curl.poll() is None:
            self._curl.terminate()
            self._curl.wait()

    def _happen(self, what: str) -> None:
        match what.split():
            case ["black", server]:
                self._lines.blacken(int(server))
            case ["curl"]:
                self._curl = subprocess.Popen(self._beside, stdout=subprocess.PIPE, text=True)
            case [state]:
                self._lines.stop(None, dead=state == "dead")


def curl_words(address: str, ca: Path) -> list[str]:
    """A curl that fetches to nowhere for some seconds, and then prints how many bytes came."""
    words = ["curl", "--silent", "--location", "--cacert", str(ca), "--max-time", str(_CURL_S)]
    return [*words, "--output", os.devnull, "--write-out", "%{size_download}", address]


def curl_rate(process: subprocess.Popen[str]) -> float:
    """Wait for such a curl, and read its bytes per second."""
    text, _ = process.communicate()
    return float(text) / _CURL_S


@contextmanager
def pinging(lines: Lines, folder: Path) -> Iterator[Callable[[], Ping]]:
    """Ping the root during the block, five times a second; what is given tells the round trips once it has ended."""
    log = folder / "ping.log"
    words = [*lines.at_client, "ping", "-n", "-i", "0.2", lines.servers[0].address]
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output)
    try:
        yield lambda: read_pings(log.read_text())
    finally:
        process.terminate()
        process.wait()


def read_pings(text: str) -> Ping:
    """The output of `ping`; at least two answers."""
    times = [float(found) for found in re.findall(r"time=([\d.]+) ms", text)]
    return Ping(median(times), quantiles(times, n=20)[-1])
