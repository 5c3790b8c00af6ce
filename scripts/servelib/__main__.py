"""`glm-aria serve` beside the origin, olah and nginx, on a loopback Hub that runs as a process of its own."""

from __future__ import annotations

import argparse
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.benchlib import report
from scripts.benchlib.__main__ import loopback, versions
from scripts.benchlib.cases import Case
from scripts.servelib import parts
from scripts.servelib.parts import Ground, Rows

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- bench-serve: begin -->", "<!-- bench-serve: end -->"


@dataclass(frozen=True, slots=True)
class Part:
    """`model` and `shape` are arguments of `python -m tests.hub`, `quick` is the model of a trial."""

    name: str
    what: str
    measure: Callable[[Ground], Rows]
    model: str
    quick: str
    shape: tuple[str, ...] = ()


_LINE = ("--total-rate", "40M", "--latency", "30")
_SLOW = ("--total-rate", "5M", "--mirror", "rate=10M", "--mirror", "rate=15M")
PARTS = (
    Part("cold", "4 files of 64 MiB by `hf`, 40 MiB/s, 30 ms", parts.cold, "several:4x64M", "several:2x3M", _LINE),
    Part("first-byte", "one file of 64 MiB, 40 MiB/s, 30 ms", parts.first_byte, "big:64M", "big:8M", _LINE),
    Part("warm", "one file of 1 GiB by `curl`", parts.warm, "big:1G", "big:16M"),
    Part("crowd", "one file of 384 MiB by `curl`, 40 MiB/s, 30 ms", parts.crowd, "big:384M", "big:8M", _LINE),
    Part(
        "together", "4 files of 16 MiB by `hf`, 40 MiB/s, 30 ms", parts.together, "several:4x16M", "several:2x3M", _LINE
    ),
    Part("memory", "one file of 64 MiB by `curl`, 40 MiB/s, 30 ms", parts.memory, "big:64M", "big:8M", _LINE),
    Part("small", "2,000 files of 10-50 KiB by `hf`, 30 ms", parts.small, "many:2000", "many:40", ("--latency", "30")),
    Part("small-near", "the same files without latency", parts.small, "many:2000", "many:40"),
    Part("small-few", "100 such files by `hf`, 30 ms", parts.cold, "many:100", "many:10", ("--latency", "30")),
    Part(
        "run",
        "4 files of 40 MiB from three sources of 5, 10 and 15 MiB/s",
        parts.behind_run,
        "several:4x40M",
        "several:4x3M",
        _SLOW,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench-serve", description="Measure glm-aria serve.")
    parser.add_argument("part", nargs="*", help=f"the parts; all of {[part.name for part in PARTS]}")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way (default: 3)")
    parser.add_argument("--data", type=Path, help="where big files are made and kept (default: removed at the end)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md", help="another document")
    given = parser.parse_args()
    if unknown := set(given.part) - {part.name for part in PARTS}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="glm-aria-bench-serve-") as made:
        for part in (part for part in PARTS if not given.part or part.name in given.part):
            folder = Path(made, part.name)
            folder.mkdir()
            began = time.monotonic()
            case = Case(part.name, part.what, part.quick if given.quick else part.model, part.shape)
            with loopback(case, folder, given.data or Path(made, "data")) as state:
                rows = part.measure(Ground(state, folder, given.rounds))
            words = ["scripts/bench-serve", part.name, "--rounds", str(given.rounds), *["--quick"] * given.quick]
            text = block(part, rows, f"Made by `{shlex.join(words)}` on {report.machine()}, {versions()}")
            print(f"{text}\n\n{time.monotonic() - began:.0f} s\n", flush=True)
            if given.write:
                order = [part.name for part in PARTS]
                report.write(given.docs, {part.name: text}, (BEGIN, END), order)


def block(part: Part, rows: Rows, made: str) -> str:
    """What the document says about a part. `made` tells by which command, with which programs."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    head = f"{part.what[0].upper()}{part.what[1:]}. {made}."
    return "\n\n".join([f"### {part.name}", head, "\n".join(lines)])


if __name__ == "__main__":
    main()
