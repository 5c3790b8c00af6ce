"""Simulate one fleet, draw fleets of all sizes, count what failures cost, or fit the costs to runs of real nodes."""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path

from scripts.benchlib import report
from scripts.simulatelib import fitting, tables
from scripts.simulatelib.cases import FAILURES, NARROW, SIZES
from scripts.simulatelib.costs import Costs
from scripts.simulatelib.runs import Result, run
from scripts.simulatelib.world import MBIT, World

ROOT = Path(__file__).resolve().parents[2]
MARKS = ("<!-- simulated: begin -->", "<!-- simulated: end -->")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description="Simulate fleets around the real planner.")
    parser.add_argument("what", nargs="?", choices=("one", "curves", "failures", "fit"), default="one")
    parser.add_argument("runs", nargs="*", type=Path, help="for fit: what scripts/bench-fleet told on stderr")
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--size", type=float, default=4.0, help="GiB of a model")
    parser.add_argument("--files", type=int, default=1, help="that it consists of")
    parser.add_argument("--origin", type=float, default=1000.0, help="Mbit/s of the origin")
    parser.add_argument("--line", type=float, default=5000.0, help="Mbit/s of a node")
    parser.add_argument("--zones", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="without a scheduler; for up to 64 nodes")
    parser.add_argument("--seed", type=int, default=1, help="the first of the seeds")
    parser.add_argument("--seeds", type=int, default=1, help="how many runs")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="for curves: no fleets above this")
    parser.add_argument("--json", action="store_true", help="for one: a line of JSON for each run")
    parser.add_argument("--write", action="store_true", help="put tables and pictures into the documents")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "fleet.md", help="another document")
    return parser.parse_args()


def main() -> int:
    options = parse()
    seeds = range(options.seed, options.seed + options.seeds)
    match options.what:
        case "curves":
            return curves(options, seeds)
        case "failures":
            found = {each.what: [run(each.world, Costs(), seed) for seed in seeds] for each in FAILURES}
            publish(options, "failures", tables.failures(FAILURES, found, seeds))
            return int(not all(each.is_kept(result) for each in FAILURES for result in found[each.what]))
        case "fit":
            lines = [line for path in options.runs for line in path.read_text("utf-8").splitlines()]
            print(fitting.report(fitting.walls(lines), Costs()))
            return 0
        case _:
            each = int(options.size * (1 << 30) / options.files)
            sizes, origin, line = (each,) * options.files, options.origin * MBIT, options.line * MBIT
            world = World(options.nodes, sizes, origin, line, options.zones, is_alone=options.alone)
            for seed in seeds:
                show(run(world, Costs(), seed), seed, is_json=options.json)
            return 0


def show(result: Result, seed: int, *, is_json: bool) -> None:
    """Print what one run took."""
    if is_json:
        print(json.dumps({"seed": seed, **asdict(result)}), flush=True)
        return
    print(f"seed {seed}:", *(f"{each.name} {getattr(result, each.name):,.4g}" for each in fields(result)), flush=True)


def curves(options: argparse.Namespace, seeds: range) -> int:
    """Simulate fleets of all sizes; 1 when one is over its bars."""
    found: dict[str, list[Result]] = {}
    with ProcessPoolExecutor() as pool:
        runs = {
            # A large fleet is an average of itself.
            narrow.name: [
                pool.submit(run, narrow.of(nodes), Costs(), seed)
                for nodes in (size for size in SIZES if size <= options.most)
                for seed in (seeds if nodes <= 1000 else seeds[:1])
            ]
            for narrow in NARROW
        }
        for name, futures in runs.items():
            found[name] = []
            for future in futures:
                found[name].append(future.result())
                print(f"{name} {found[name][-1].nodes}", file=sys.stderr, flush=True)
    publish(options, "sizes", tables.sizes(NARROW, found, f"--seeds {len(seeds)} --most {options.most}"))
    if options.write:
        pictures = options.docs.parent / "pictures"
        pictures.mkdir(exist_ok=True)
        for name, text in tables.pictures(NARROW, found).items():
            (pictures / f"{name}.svg").write_text(text, "utf-8")
    return int(not all(tables.is_within(narrow, result) for narrow in NARROW for result in found[narrow.name]))


def publish(options: argparse.Namespace, name: str, text: str) -> None:
    """Print a block, and write it into the document if that was asked for."""
    print(text, flush=True)
    if options.write:
        report.write(options.docs, {name: text}, MARKS, ["sizes", "failures"])


if __name__ == "__main__":
    sys.exit(main())
