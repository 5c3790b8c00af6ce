"""The command line of `scripts/bench-registry`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from scripts.benchlib import report
from scripts.benchlib.__main__ import versions
from scripts.registrylib import reload

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- bench-registry: begin -->", "<!-- bench-registry: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench-registry", description="Measure a registry of models.")
    parser.add_argument("part", nargs="*", help="the parts; all of ['reload']")
    parser.add_argument("--pushes", type=int, default=20, help="versions that are pushed (default: 20)")
    parser.add_argument("--data", type=Path, help="where the model is made (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md", help="another document")
    given = parser.parse_args()
    if unknown := set(given.part) - {"reload"}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    sizes = reload.Sizes(each=4 << 20, changed=256 << 10) if given.quick else reload.Sizes()
    with tempfile.TemporaryDirectory(prefix="glm-aria-bench-registry-", dir=given.data) as made:
        found = reload.measure(Path(made), sizes, given.pushes)
    words = " ".join(["scripts/bench-registry", *given.part, *(["--quick"] if given.quick else [])])
    text = block(reload.rows(found, sizes), f"Made by `{words}`, {versions()}, {report.machine()}")
    print(text)
    if given.write:
        report.write(given.docs, {"reload": text}, (BEGIN, END), ("reload",))


def block(rows: list[tuple[str, ...]], made: str) -> str:
    """What the document says about the part. `made` tells by which command, with which programs."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n\n".join(["### reload", f"{made}.", "\n".join(lines)])


if __name__ == "__main__":
    main()
