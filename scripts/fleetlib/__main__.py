"""The command line of `scripts/bench-fleet`."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from scripts.benchlib import peers, report
from scripts.benchlib.__main__ import ROOT, versions
from scripts.benchlib.report import spread
from scripts.fleetlib.cases import CASES, Case
from scripts.fleetlib.runs import Stage, Taken
from scripts.fleetlib.ways import WAYS, known_options
from tests.fleet.lab import missing

BEGIN, END = "<!-- bench-fleet: begin -->", "<!-- bench-fleet: end -->"
ALONE = "one node alone"
_MEASURE = "glm-aria alone"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench-fleet", description="Measure many nodes that need one model.")
    parser.add_argument("case", nargs="*", help=f"the cases; all of {[case.name for case in CASES]}")
    parser.add_argument("--only", metavar="WAY,...", help=f"these ways: {', '.join(WAYS)}")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way (default: 3)")
    parser.add_argument("--data", type=Path, help="where big files are made and kept (default: removed at the end)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md", help="another document")
    given = parser.parse_args()
    given.ways = given.only.split(",") if given.only else [name for name in WAYS if can(name)]
    if unknown := {*given.case} - {case.name for case in CASES} | {*given.ways} - {*WAYS}:
        parser.error(f"no such case or way: {', '.join(sorted(unknown))}")
    return given


def can(name: str) -> bool:
    """False, with a word about it, when the program is not there, or does not know the option of the way."""
    word = name.rpartition(" ")[2]
    is_there = word in known_options() if word.startswith("--") else name != "hf" or peers.is_there("hf")
    if not is_there:
        print(f"going on without {name}", file=sys.stderr)
    return is_there


def main() -> None:
    given = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # namespaces and servers end, too
    if reason := missing():
        raise SystemExit(f"no lab can be made here: {reason}")
    with tempfile.TemporaryDirectory(prefix="glm-aria-bench-fleet-") as made:
        for case in (case for case in CASES if not given.case or case.name in given.case):
            chosen = replace(case, files=case.quick) if given.quick else case
            with Stage.open(chosen, given.data or Path(made)) as stage:
                taken = by_turns(stage, chosen, given.ways, given.rounds)
                words = ["scripts/bench-fleet", case.name, "--rounds", str(given.rounds), *["--quick"] * given.quick]
                words += ["--only", given.only] if given.only else []
                text = block(
                    case, stage.ideal_s, taken, f"Made by `{shlex.join(words)}` on {report.machine()}, {versions()}"
                )
            print(f"{text}\n", flush=True)
            if given.write:
                report.write(given.docs, {case.name: text}, (BEGIN, END), [case.name for case in CASES])


def by_turns(stage: Stage, case: Case, ways: Sequence[str], rounds: int) -> dict[str, list[Taken]]:
    """All ways in turns."""
    names = [ALONE] * case.is_alone_first + list(ways)
    taken: dict[str, list[Taken]] = {name: [] for name in names}
    for number in range(1, rounds + 1):
        for name in names:
            one = stage.run(_MEASURE, 1) if name == ALONE else stage.run(name)
            taken[name].append(one)
            said = (
                f"{one.wall_s:.1f} s, egress {one.egress:.3f}, {one.from_peers:.3f} from peers, {one.cpu_s:.1f} CPU s"
            )
            print(f"{case.name} {number} {name}: {said}", file=sys.stderr, flush=True)
    return taken


def block(case: Case, ideal_s: float, taken: Mapping[str, Sequence[Taken]], made: str) -> str:
    """What the document says about a case. `made` tells by which command, with which programs."""
    alone = taken.get(ALONE)
    measure = "one node alone" if alone else "ideal"
    rows: list[tuple[str, ...]] = [("way", "seconds", f"seconds / {measure}", "egress / size", "from peers", "CPU s")]
    for name, runs in taken.items():
        bases = [one.wall_s for one in alone] if alone else [ideal_s] * len(runs)
        ratios = [one.wall_s / base for one, base in zip(runs, bases, strict=True)]
        cells = [
            spread([one.wall_s for one in runs]),
            spread(ratios),
            spread([one.egress for one in runs]),
            f"{median(one.from_peers for one in runs):.3f}" if any(one.from_peers for one in runs) else "",
            f"{median(one.cpu_s for one in runs):.1f}",
        ]
        rows.append((name, *cells))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    head = f"{case.what}. Ideal is {ideal_s:.1f} s, the time in which the origin sends it once. {made}."
    return "\n\n".join([f"### {case.name}", head, "\n".join(lines)])


if __name__ == "__main__":
    main()
