"""The lines that are measured: their shapes, what is fetched over them, and what happens meanwhile."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.lines.emulator import Shape

PAYLOAD = 0.9635
"""Of a full line, the share that is content: 1,448 of 1,500 bytes of a packet, less TLS records and HTTP."""

TURNS = 8
"""Round trips before the first byte of content: TCP and TLS, listing, redirect, TCP and TLS, request."""

_FREE = Shape()
_PAIR = ("glm-aria", "aria2c")
_FOUR = (*_PAIR, "hf", "curl")


@dataclass(frozen=True, slots=True)
class Event:
    """What happens `at_s` seconds into each run.

    `dead` and `alive`: the access line; `black NUMBER`: the TCP connections of that server; `curl`: a download beside.
    """

    at_s: float
    what: str


@dataclass(frozen=True, slots=True)
class Case:
    """One line and what is fetched over it.

    `shapes` are those of the root and of each mirror; `access` is before all of them. `dead_s` is how long nothing
    passes. `rate` is the server's limit for a connection in bytes per second, `receive` a bound of the receive buffer
    in bytes, and `options` are words for a peer's command.
    """

    name: str
    what: str
    model: str
    shapes: tuple[Shape, ...]
    access: Shape = _FREE
    congestion: str = "cubic"
    rate: int = 0
    receive: int = 0
    events: tuple[Event, ...] = ()
    dead_s: float = 0
    has_ping: bool = False
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    peers: tuple[str, ...] = _PAIR

    @property
    def has_curl(self) -> bool:
        """True when a curl runs beside."""
        return any(event.what == "curl" for event in self.events)

    @property
    def line_rate(self) -> float:
        """What can come to the client, in bits per second."""
        own = sum(shape.rate for shape in self.shapes)
        return min(self.access.rate, own) if self.access.rate else own

    def limit_s(self, size: int) -> float:
        """The shortest time for `size` bytes of content."""
        round_trip = self.shapes[0].round_trip_s + self.access.round_trip_s
        return size * 8 / (self.line_rate * PAYLOAD) + TURNS * round_trip + self.dead_s


def _line(mbit: float, round_trip_ms: float, **more: float) -> Shape:
    return Shape(rate=mbit * 1e6, delay_s=round_trip_ms / 2000, **more)


_W1 = (_line(100, 30),)
_W2 = (_line(50, 220, loss=0.01),)
_W3 = (_line(30, 280, loss=0.03, jitter_s=0.03),)
_W4 = (_line(20, 60, queue_s=1),)
_W5 = (*_W2, _line(40, 30), _line(40, 120, loss=0.002), _line(40, 180, loss=0.005))
_W6 = (_line(200, 180, loss=0.005),)
_W7 = (_line(40, 60),)
_W9 = (_line(400, 200),)
_ACCESS = Shape(rate=100e6)
_OUTAGES = (Event(8, "dead"), Event(28, "alive"), Event(40, "dead"), Event(60, "alive"))
_BLACK = (Event(8, "black 0"),)
_SLOWED = {
    "glm-aria": ("--max-speed", "1600K"),
    "aria2c": ("--max-overall-download-limit=1600000",),
    "curl": ("--limit-rate", "1600000"),
}

CASES = (
    Case("W1", "100 Mbit/s, 30 ms; four files", "several:4x64M", _W1, peers=(*_FOUR, "modelscope-16")),
    Case("W2", "50 Mbit/s, 220 ms, 1 % loss; four files", "several:4x64M", _W2, peers=_FOUR),
    Case("W2one", "50 Mbit/s, 220 ms, 1 % loss; one file", "big:160M", _W2),
    Case(
        "W2bbr",
        "50 Mbit/s, 220 ms, 1 % loss, servers with BBR; four files",
        "several:4x64M",
        _W2,
        congestion="bbr",
        peers=_FOUR[:3],
    ),
    Case(
        "W2onebbr",
        "50 Mbit/s, 220 ms, 1 % loss, servers with BBR; one file",
        "big:160M",
        _W2,
        congestion="bbr",
        peers=_FOUR[:3],
    ),
    Case("W3", "30 Mbit/s, 280 ms, 3 % loss, 30 ms of jitter; four files", "several:4x32M", _W3, peers=_FOUR),
    Case("W3one", "30 Mbit/s, 280 ms, 3 % loss, 30 ms of jitter; one file", "big:80M", _W3),
    Case("W4", "20 Mbit/s, 60 ms, a queue of 1 s; four files", "several:4x14M", _W4, has_ping=True, peers=_FOUR),
    Case(
        "polite",
        "20 Mbit/s, 60 ms, a queue of 1 s, a curl beside from 8 to 28 s; two files",
        "several:2x60M",
        _W4,
        has_ping=True,
        events=(Event(8, "curl"),),
        options={"glm-aria": ("--polite",)},
    ),
    Case(
        "W4slow",
        "20 Mbit/s, 60 ms, a queue of 1 s, of which each client is told to take 64 %; four files",
        "several:4x24M",
        _W4,
        has_ping=True,
        options=_SLOWED,
    ),
    Case(
        "W5",
        "W2 as root; mirrors of 40 Mbit/s each: 30 ms; 120 ms, 0.2 %; 180 ms, 0.5 %; behind 100 Mbit/s; four files",
        "several:4x80M",
        _W5,
        access=_ACCESS,
    ),
    Case(
        "W5b",
        "the same lines, and the near mirror's connections go black at 8 s; four files",
        "several:4x80M",
        _W5,
        access=_ACCESS,
        events=(Event(8, "black 1"),),
    ),
    Case("W6", "200 Mbit/s, 180 ms, 0.5 % loss, 1 MB/s a connection; four files", "several:4x96M", _W6, rate=1_000_000),
    Case("W6one", "200 Mbit/s, 180 ms, 0.5 % loss, 1 MB/s a connection; one file", "big:192M", _W6, rate=1_000_000),
    Case("W7", "40 Mbit/s, 60 ms, dead 8-28 and 40-60 s; four files", "several:4x32M", _W7, events=_OUTAGES, dead_s=40),
    Case("W7b", "40 Mbit/s, 60 ms, all connections go black at 8 s; four files", "several:4x32M", _W7, events=_BLACK),
    Case("W7bone", "40 Mbit/s, 60 ms, all connections go black at 8 s; one file", "big:128M", _W7, events=_BLACK),
    Case(
        "W8",
        "50 Mbit/s, 220 ms, 1 % loss; 2,000 files of 10-50 KB",
        "many:2000",
        _W2,
        peers=(*_PAIR, "hf-16", "modelscope-16"),
    ),
    Case("W9one", "400 Mbit/s, 200 ms, no loss; one file", "big:1G", _W9),
    Case(
        "W9small",
        "400 Mbit/s, 200 ms, no loss, receive buffers bounded at 212,992 bytes; one file",
        "big:1G",
        _W9,
        receive=212_992,
    ),
)


_QUICK = {"several": "several:4x1M", "big": "big:2M", "many": "many:40"}


def choose(names: list[str], *, quick: bool = False) -> tuple[Case, ...]:
    """The cases of these names, or all; `quick` makes them small. Raises ValueError."""
    known = {case.name: case for case in CASES}
    for name in names:
        if name not in known:
            raise ValueError(f"unknown case {name!r}: {', '.join(known)}, random")
    chosen = tuple(known[name] for name in names) if names else CASES
    return tuple(small(case) for case in chosen) if quick else chosen


def small(case: Case) -> Case:
    """The same line with little to fetch."""
    return replace(case, model=_QUICK[case.model.partition(":")[0]])


def drawn(seed: int) -> Case:
    """A line at random: 5-500 Mbit/s (log-uniform), 10-300 ms, 0-3 % loss, one to four sources, 20-60 s of the line."""
    draw = random.Random(seed)
    sources, rate = draw.randint(1, 4), 10 ** draw.uniform(math.log10(5e6), math.log10(500e6))
    shapes = tuple(
        Shape(
            rate=round(rate / sources * draw.uniform(0.7, 1.3)),
            delay_s=round(draw.uniform(0.005, 0.15), 4),
            loss=round(draw.uniform(0, 0.03), 4),
        )
        for _ in range(sources)
    )
    case = Case("", "", "", shapes)
    size, files = case.line_rate / 8 * draw.uniform(20, 60) * PAYLOAD, draw.choice((1, 4))
    told = "; ".join(
        f"{shape.rate / 1e6:.0f} Mbit/s, {shape.round_trip_s * 1000:.0f} ms, {shape.loss:.1%}" for shape in shapes
    )
    return Case(
        f"random-{seed}",
        f"{told}; {files} of {size / files / 1e6:.0f} MB",
        f"several:{files}x{int(size / files)}",
        shapes,
    )
