"""What is measured: the content, the shape of the line, who takes part, and what is promised."""

from __future__ import annotations

from dataclasses import dataclass, replace

MEMORY_MB = 200
"""What Python and aria2c together may use at their peak, in every case."""


@dataclass(frozen=True, slots=True)
class Target:
    """glm-aria takes at most `ratio` of the time of `peer`."""

    peer: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Case:
    """`model` and `shape` are arguments of `python -m tests.support`. With `again`, the second pull is measured."""

    name: str
    what: str
    model: str
    shape: tuple[str, ...] = ()
    peers: tuple[str, ...] = ("glm-aria", "aria2c", "hf", "curl")
    targets: tuple[Target, ...] = ()
    again: bool = False


_COMPLETE = ("glm-aria", "hf")
_NOOP = (Target("hf", 0.7),)

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
        ("--latency", "30"),
        targets=(Target("hf", 0.25),),
    ),
    Case("noop", "second pull of a small model with 3 LFS shards", "tiny", (), _COMPLETE, _NOOP, again=True),
    Case("noop-2000", "second pull of the 2,000 files", "many:2000", (), _COMPLETE, _NOOP, again=True),
)
_QUICK = {"big:4G": "big:24M", "big:1G": "big:8M", "many:2000": "many:40", "tiny": "tiny:256K"}


def choose(names: list[str], *, quick: bool) -> tuple[Case, ...]:
    """The cases whose name begins with one of `names`, or all; `quick` makes them small. Raises ValueError."""
    for name in names:
        if not any(case.name.startswith(name) for case in CASES):
            raise ValueError(f"unknown case {name!r}: {', '.join(case.name for case in CASES)}")
    chosen = tuple(case for case in CASES if not names or any(case.name.startswith(name) for name in names))
    return tuple(replace(case, model=_QUICK[case.model]) for case in chosen) if quick else chosen
