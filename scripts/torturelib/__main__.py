"""The command line of `scripts/torture`."""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.torturelib.report import read, render, write

REPO = Path(__file__).parents[2]
DOCUMENT = REPO / "docs" / "reliability.md"
COST = "tests/crash/test_cost.py"
PARALLEL = ("-n", "auto", "--dist", "worksteal")
TABLED = ("crash", "faults", "machine", "clients", "fleet")
SUITES = {
    "crash": ("tests/crash", f"--ignore={COST}", *PARALLEL),
    # Its figures are those of a line of a known rate: nothing else may run beside it.
    "cost": (COST, "-n", "0"),
    "faults": ("tests/faults", *PARALLEL),
    "fuzz": ("tests/fuzz", *PARALLEL),
    "machine": ("tests/machine", *PARALLEL),
    "clients": ("tests/clients", *PARALLEL),
    "desired": ("tests/desired/test_torture.py", "-n", "0"),
    "house": ("tests/house", "-n", "0"),
    # The machines of a lab share the cores.
    "fleet": ("tests/fleet", "-n", "0"),
    # Rows of other tables, of which scripts/test draws some, and more examples of all that holds for any values.
    "rows": ("tests", "-m", "sampled or hypothesis", *(f"--ignore=tests/{name}" for name in TABLED), *PARALLEL),
}
"""The arguments of pytest for each suite; those of the folders `TABLED` have their rows, too."""


def main() -> int:
    """Run the suites one after another and print their tables; the exit code is the first of pytest that is not 0."""
    parser = argparse.ArgumentParser("scripts/torture", description="The long forms of the tests of failures.")
    parser.add_argument("what", nargs="*", metavar="SUITE", help=f"{', '.join(SUITES)}; all by default")
    parser.add_argument("--seed", type=int, help="of all that is left to chance (default: a new one)")
    parser.add_argument(
        "--points",
        type=int,
        help="at most so many crash points of each kind and scenario, cases of each fuzz test, steps",
    )
    parser.add_argument("--write", action="store_true", help="also write each table into docs/reliability.md")
    parser.add_argument("--engine", choices=("system", "wheel"), help="the aria2c: on PATH, or of the Python package")
    given = parser.parse_args()
    if unknown := set(given.what) - set(SUITES):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    options = [f"--seed={secrets.randbelow(10**6) if given.seed is None else given.seed}"]
    options += [f"--points={given.points}"] if given.points is not None else []
    options += [f"--engine={given.engine}"] if given.engine is not None else []
    codes = [run(suite, options, is_written=given.write) for suite in given.what or SUITES]
    return next((code for code in codes if code), 0)


def run(suite: str, options: list[str], *, is_written: bool) -> int:
    """Run one suite, print its table, and write it into the document where asked; the exit code of pytest."""
    with tempfile.TemporaryDirectory(prefix="glm-aria-torture-") as folder:
        results = Path(folder, "results.xml")
        words = ["--torture", *options, f"--junitxml={results}", f"--basetemp={folder}/tests", *SUITES[suite]]
        code = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=REPO, check=False).returncode
        if not results.exists():
            return code
        table = render(read(results), " ".join(["scripts/torture", suite, *options]).replace("=", " "))
    print(table)
    if is_written:
        write(DOCUMENT, suite, table)
    return code


if __name__ == "__main__":
    sys.exit(main())
