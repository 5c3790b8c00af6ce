"""glm-aria and its peers in turns over emulated lines, with real TLS and the kernel's own TCP at both ends.

Each case is a world of its own: a client, its lines, and servers in network namespaces. The peers take turns (A B, A
B, ...), each with an empty home; each result is checked by its digests.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.benchlib import peers
from scripts.benchlib import report as bench
from scripts.lineslib import report
from scripts.lineslib.cases import CASES, Case, choose, drawn
from scripts.lineslib.runs import Peer, Ping, Taken, World, versions
from tests.lines.emulator import missing

RANDOM = "random"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench-lines", description="Measure glm-aria over emulated lines.")
    parser.add_argument("case", nargs="*", help=f"{', '.join(case.name for case in CASES)}, or {RANDOM} (default: all)")
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
    options = parser.parse_args()
    try:
        options.peers = [Peer.read(text) for text in options.only.split(",")] if options.only else None
        options.cases = choose([name for name in options.case if name != RANDOM]) if options.case != [RANDOM] else ()
    except ValueError as error:
        parser.error(str(error))
    options.draw = options.count if RANDOM in options.case else 0
    return options


def main() -> None:
    options = parse()
    if reason := missing():
        raise SystemExit(f"no line can be made here: {reason}")
    print(f"On {bench.machine()}, {versions()}.\n")
    found: list[dict[str, Any]] = []
    for case in options.cases:
        rounds, idle = measure(case, options.peers or standard(case), options.rounds, options.data)
        print(f"{report.table(case, rounds)}\n\n{report.timeline(rounds, idle)}\n", flush=True)
        found.append(report.as_json(case, rounds, idle))
        keep(options.json, found)
    if options.draw:
        chosen = options.peers or [Peer("glm-aria"), Peer("aria2c")]
        print(report.drawn_head([peer.label for peer in chosen]), flush=True)
        lines = []
        for seed in range(options.seed, options.seed + options.draw):
            case = drawn(seed)
            rounds, idle = measure(case, chosen, options.rounds, options.data)
            print(report.drawn_row(case, rounds), flush=True)
            lines.append(rounds)
            found.append(report.as_json(case, rounds, idle))
            keep(options.json, found)
        print(f"\n{report.drawn_summary(lines)}")


def keep(path: Path | None, found: list[dict[str, Any]]) -> None:
    if path:
        path.write_text(json.dumps(found, indent=1) + "\n")


def standard(case: Case) -> list[Peer]:
    return [Peer(name) for name in case.peers if peers.is_there(name)]


def measure(case: Case, chosen: Sequence[Peer], rounds: int, data: Path | None) -> tuple[report.Rounds, Ping | None]:
    """Let the peers take turns over one case."""
    taken: dict[str, list[Taken]] = {peer.label: [] for peer in chosen}
    with folder() as own, World.open(case, own, data or own / "data") as world:
        idle = world.idle_ping() if case.has_ping else None
        for number in range(rounds):
            for peer in chosen:
                one = world.once(peer)
                taken[peer.label].append(one)
                told = f"{one.seconds:.1f} s{'' if one.is_whole else ' (stopped)'}, limit {one.limit_s:.1f}"
                told += f", {one.filled:.0%} of the line, served {one.served:.2f}, tail {one.tail_s:.1f} s"
                print(f"{case.name} {number + 1} {peer.label}: {told}", file=sys.stderr, flush=True)
    return taken, idle


@contextmanager
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="glm-aria-lines-"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


if __name__ == "__main__":
    main()
