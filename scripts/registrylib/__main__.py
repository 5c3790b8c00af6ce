"""The command line of `scripts/bench-registry`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from scripts.benchlib import report
from scripts.benchlib.__main__ import versions
from scripts.registrylib import reload, transfer, ways

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- bench-registry: begin -->", "<!-- bench-registry: end -->"
RELOAD = "reload"
PARTS = (RELOAD, *(case.name for case in transfer.CASES))


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench-registry", description="Measure a registry of models.")
    parser.add_argument("part", nargs="*", help=f"the beginning of a part's name; all of {list(PARTS)}")
    parser.add_argument("--pushes", type=int, default=20, help="versions that are pushed for `reload` (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each client in the others (default: 3)")
    parser.add_argument("--data", type=Path, help="where the model is made (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md", help="another document")
    given = parser.parse_args()
    chosen = [name for name in PARTS if not given.part or any(map(name.startswith, given.part))]
    for word in given.part:
        if not any(name.startswith(word) for name in PARTS):
            parser.error(f"no such part: {word}")
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="glm-aria-bench-registry-", dir=given.data) as made:
            what, rows = measured(name, Path(made), given)
        counted = f"--pushes {given.pushes}" if name == RELOAD else f"--rounds {given.rounds}"
        words = f"scripts/bench-registry {name} {counted}{' --quick' if given.quick else ''}"
        text = block(name, rows, f"{what}Made by `{words}`, {versions()}, {report.machine()}")
        print(text, flush=True)
        if given.write:
            report.write(given.docs, {name: text}, (BEGIN, END), PARTS)


def measured(name: str, folder: Path, given: argparse.Namespace) -> tuple[str, transfer.Rows]:
    """What a part measures, in words, and its table."""
    if name == RELOAD:
        sizes = reload.Sizes(each=4 << 20, changed=256 << 10) if given.quick else reload.Sizes()
        return "", reload.rows(reload.measure(folder, sizes, given.pushes), sizes)
    case = next(case for case in transfer.CASES if case.name == name)
    return f"{case.what}; {ways.versions()}. ", transfer.measure(case, folder, given.rounds, quick=given.quick)


def block(name: str, rows: transfer.Rows, made: str) -> str:
    """What the document says about a part. `made` tells by which command, with which programs."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n\n".join([f"### {name}", f"{made}.", "\n".join(lines)])


if __name__ == "__main__":
    main()
