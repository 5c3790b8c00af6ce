"""What is measured: the content, the shape of the line, who takes part, and what is promised."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

MEMORY_MB = 200
"""What Python and aria2c together may use at their peak, in every case."""


IDEAL_SHARE = 0.95
"""Of what all sources of a case send together, start-up and proof included."""

CAP_SHARE = 0.05
"""How far the rate of a case with a limit may be from it."""


@dataclass(frozen=True, slots=True)
class Target:
    """glm-aria takes at most `ratio` of the time of `peer`."""

    peer: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Case:
    """`model` and `shape` are arguments of `python -m tests.hub`. With `again`, the second pull is measured.

    `options` go to `glm-aria pull`, which takes the model from ModelScope with `from_modelscope`; with `behind_run` it
    is `hf` behind `glm-aria run` instead, and with `in_python` functions are called in place of commands. `ideal` is
    what all sources together send, and `cap` the limit that was asked for, in bytes per second.
    """

    name: str
    what: str
    model: str
    shape: tuple[str, ...] = ()
    peers: tuple[str, ...] = ("glm-aria", "aria2c", "hf", "curl")
    targets: tuple[Target, ...] = ()
    again: bool = False
    options: tuple[str, ...] = ()
    from_modelscope: bool = False
    behind_run: bool = False
    in_python: bool = False
    ideal: int = 0
    cap: int = 0

    @property
    def bytes(self) -> int:
        """The size of the one big file of the case."""
        match = re.fullmatch(r"big:(\d+)([MG])", self.model)
        assert match, self.model
        return int(match[1]) << {"M": 20, "G": 30}[match[2]]


_SHARED = ("glm-aria", "root alone", "aria2c")
_ONE_IS_GOOD = ("--total-rate", "20M")
_COMPLETE = ("glm-aria", "hf")
_NOOP = (Target("hf", 0.7),)


def _beside_a_good_one(name: str, what: str, mirror: str) -> Case:
    """The root sends 20 MiB/s, and one mirror is of no use: it must not cost much."""
    shape = (*_ONE_IS_GOOD, "--mirror", mirror)
    return Case(
        name, f"600 MiB; a good source and one {what}", "big:600M", shape, _SHARED, (Target("root alone", 1.1),)
    )


CASES = (
    Case("fast-4g", "one file of 4 GiB, no throttle", "big:4G", targets=(Target("aria2c", 1.15),)),
    Case(
        "line-1g",
        "one file of 1 GiB; 4 MB/s a connection, 100 MB/s in all, 80 ms",
        "big:1G",
        ("--rate-per-connection", "4000000", "--total-rate", "100000000", "--latency", "80"),
        targets=(Target("aria2c", 1.0), Target("hf", 0.2)),
    ),
    Case(
        "small-2000",
        "2,000 files of 10-50 KiB, 30 ms",
        "many:2000",
        ("--latency", "30", "--modelscope"),
        ("glm-aria", "aria2c", "hf", "hf-16", "modelscope-16", "curl"),
        (Target("hf", 0.25), Target("hf-16", 0.5), Target("modelscope-16", 0.5), Target("aria2c", 0.5)),
    ),
    Case(
        "modelscope-2000",
        "the same files from a ModelScope, where each is one request",
        "many:2000",
        ("--latency", "30", "--modelscope"),
        ("glm-aria", "modelscope-16"),
        (Target("modelscope-16", 0.5),),
        from_modelscope=True,
    ),
    Case(
        "three",
        "600 MiB from three sources of 10, 20 and 30 MiB/s",
        "big:600M",
        ("--total-rate", "10M", "--mirror", "rate=20M", "--mirror", "rate=30M"),
        ("glm-aria", "aria2c"),
        ideal=60 << 20,
    ),
    _beside_a_good_one("slow", "of 20 KB/s", "rate=20K"),
    _beside_a_good_one("stalls", "that falls silent after 1 MiB", "rate=20M,stalls=1M"),
    _beside_a_good_one("dies", "that dies at half of the file", "rate=20M,dies=300M"),
    Case(
        "poisoned",
        "600 MiB from three sources of 20 MiB/s, of which one sends wrong bytes (aria2c ends with a wrong file)",
        "big:600M",
        (*_ONE_IS_GOOD, "--mirror", "rate=20M", "--mirror", "rate=20M,lies=1"),
        ("glm-aria", "root alone"),
        (Target("root alone", 1.0),),
    ),
    Case(
        "wide-64",
        "1 GiB; 4 MB/s a connection, 80 ms, 64 connections allowed",
        "big:1G",
        ("--rate-per-connection", "4000000", "--latency", "80"),
        ("glm-aria", "aria2c"),
        (Target("aria2c", 0.5),),
        options=("--connections", "64"),
    ),
    Case(
        "capped",
        "600 MiB from two sources, with a limit of 20 MiB/s over all",
        "big:600M",
        ("--mirror", "rate=30M"),
        ("glm-aria",),
        options=("--max-speed", "20M"),
        cap=20 << 20,
    ),
    Case(
        "run",
        "4 files of 75 MiB from three sources of 5, 10 and 15 MiB/s, by `glm-aria run -- hf download`",
        "several:4x75M",
        ("--total-rate", "5M", "--mirror", "rate=10M", "--mirror", "rate=15M"),
        ("glm-aria", "hf"),
        (Target("hf", 0.35),),
        behind_run=True,
    ),
    Case(
        "python-1g",
        "1 GiB by `pull()` and by `snapshot_download()`, no throttle",
        "big:1G",
        peers=_COMPLETE,
        targets=(Target("hf", 1.0),),
        in_python=True,
    ),
    Case(
        "python-2000",
        "2,000 files of 10-50 KiB by the same functions, 30 ms",
        "many:2000",
        ("--latency", "30"),
        _COMPLETE,
        (Target("hf", 0.25),),
        in_python=True,
    ),
    Case("noop", "second pull of a small model with 3 LFS shards", "tiny", (), _COMPLETE, _NOOP, again=True),
    Case("noop-2000", "second pull of the 2,000 files", "many:2000", (), _COMPLETE, _NOOP, again=True),
)
_QUICK = {
    "big:4G": "big:24M",
    "big:1G": "big:8M",
    "big:600M": "big:8M",
    "several:4x75M": "several:4x3M",
    "many:2000": "many:40",
    "tiny": "tiny:256K",
}


def choose(names: list[str], *, quick: bool) -> tuple[Case, ...]:
    """The cases whose name begins with one of `names`, or all; `quick` makes them small. Raises ValueError."""
    for name in names:
        if not any(case.name.startswith(name) for case in CASES):
            raise ValueError(f"unknown case {name!r}: {', '.join(case.name for case in CASES)}")
    chosen = tuple(case for case in CASES if not names or any(case.name.startswith(name) for name in names))
    return tuple(replace(case, model=_QUICK[case.model]) for case in chosen) if quick else chosen
