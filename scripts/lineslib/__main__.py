"""glm-aria and its peers in turns over emulated lines, with real TLS and the kernel's own TCP at both ends.

Each case is a world of its own: a client, its lines, and servers in network namespaces. The peers take turns (A B, A
B, ...), each with an empty home; each result is checked by its digests.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchlib import peers
from scripts.benchlib.__main__ import ROOT, versions
from scripts.benchlib.report import machine, write
from scripts.lineslib.cases import CASES, Case, choose, drawn, small
from scripts.lineslib.report import Measured, block, drawn_block
from scripts.lineslib.runs import Peer, Taken, World
from tests.lines.emulator import missing

RANDOM = "random"
MARKS = ("<!-- bench-lines: begin -->", "<!-- bench-lines: end -->")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench-lines", description="Measure glm-aria over emulated lines.")
    names = ", ".join(case.name for case in CASES)
    parser.add_argument("case", nargs="*", help=f"{names}, or {RANDOM} (default: all but {RANDOM})")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each peer in each case (default: 3)")
    parser.add_argument(
        "--only",
        metavar="PEER,...",
        help="these peers, each NAME[@CLONE][:OPTIONS]: glm-aria,aria2c,'glm-aria:--connections 64',glm-aria@../other",
    )
    parser.add_argument("--data", type=Path, help="where big files are made and kept (default: removed at the end)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures of all runs here")
    parser.add_argument("--count", type=int, default=40, help=f"lines of {RANDOM} (default: 40)")
    parser.add_argument("--seed", type=int, default=1, help=f"of the first line of {RANDOM} (default: 1)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md", help="another document")
    options = parser.parse_args()
    named = [name for name in options.case if name != RANDOM]
    try:
        options.peers = [Peer.read(text) for text in options.only.split(",")] if options.only else None
        options.cases = choose(named, quick=options.quick) if named or not options.case else ()
    except ValueError as error:
        parser.error(str(error))
    return options


def main() -> None:
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # namespaces and servers end, too
    if reason := missing():
        raise SystemExit(f"no line can be made here: {reason}")
    found: list[dict[str, Any]] = []
    for case in options.cases:
        chosen = [peer for peer in options.peers or standard(case) if can(peer, case)]
        if chosen:
            one = measure(case, chosen, options.rounds, options.data)
            tell(options, found, [one], block(one, made(case.name, options)), case.name)
    if RANDOM in options.case:
        chosen = options.peers or [Peer("glm-aria"), Peer("aria2c")]
        lines: list[Measured] = []
        for seed in range(options.seed, options.seed + options.count):
            case = small(drawn(seed)) if options.quick else drawn(seed)
            lines.append(measure(case, chosen, options.rounds, options.data))
        tell(options, found, lines, drawn_block(lines, made(RANDOM, options)), RANDOM)


def tell(
    options: argparse.Namespace, found: list[dict[str, Any]], lines: Sequence[Measured], text: str, name: str
) -> None:
    """Print a block, and keep it and its figures where they were asked for."""
    print(f"{text}\n", flush=True)
    found += [one.as_json() for one in lines]
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.write:
        write(options.docs, {name: text}, MARKS, [*(case.name for case in CASES), RANDOM])


def made(name: str, options: argparse.Namespace) -> str:
    """Which command repeats it, and on what it was measured; without folders, which are this machine's own business."""
    words = ["scripts/bench-lines", name, "--rounds", str(options.rounds)]
    if options.peers:
        words += ["--only", ",".join(peer.typed for peer in options.peers)]
    if name == RANDOM:
        words += ["--count", str(options.count), "--seed", str(options.seed)]
    words += ["--quick"] * options.quick
    return f"Made by `{shlex.join(words)}` on {machine()}, {versions()}"


def can(peer: Peer, case: Case) -> bool:
    """False, with a word about it, when this glm-aria does not know an option that the case gives it."""
    wanted = [word for word in case.options.get(peer.name, ()) if word.startswith("--")]
    if peer.name != "glm-aria" or not wanted:
        return True
    words = [sys.executable, "-m", "orchestrator.cli.main", "pull", "--help"]
    told = subprocess.run(words, cwd=peer.clone, capture_output=True, text=True, check=True).stdout
    unknown = [word for word in wanted if word not in told]
    if unknown:
        print(f"{case.name} without {peer.label}: it has no {', '.join(unknown)}", file=sys.stderr)
    return not unknown


def standard(case: Case) -> list[Peer]:
    return [Peer(name) for name in case.peers if peers.is_there(name)]


def measure(case: Case, chosen: Sequence[Peer], rounds: int, data: Path | None) -> Measured:
    """Let the peers take turns over one case."""
    taken: dict[str, list[Taken]] = {peer.label: [] for peer in chosen}
    alone: list[float] = []
    with folder() as own, World.open(case, own, data or own / "data") as world:
        idle = world.idle_ping() if case.has_ping else None
        for number in range(1, rounds + 1):
            if case.has_curl:
                alone.append(world.curl_alone())
            for peer in chosen:
                if not all(one.is_whole for one in taken[peer.label]):
                    continue  # what was stopped once is known well enough
                one = world.once(peer)
                taken[peer.label].append(one)
                print(f"{case.name} {number} {peer.label}: {said(one)}", file=sys.stderr, flush=True)
        return Measured(case, world.limit_s, taken, idle, median(alone) if alone else 0)


def said(one: Taken) -> str:
    """A run in a line, while others go on."""
    stopped = "" if one.is_whole else " (stopped)"
    line = f"{one.timeline.filled:.0%} of the line used, the last 10 % in {one.timeline.tail_s:.1f} s"
    return f"{one.seconds:.1f} s{stopped}, limit {one.limit_s:.1f}; came/size {one.came:.2f}; {line}"


@contextmanager
def folder() -> Iterator[Path]:
    made_here = Path(tempfile.mkdtemp(prefix="glm-aria-lines-"))
    try:
        yield made_here
    finally:
        shutil.rmtree(made_here)


if __name__ == "__main__":
    main()
