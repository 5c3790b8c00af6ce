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
SUITES = ("crash", "faults", "fuzz", "machine")


def main() -> int:
    """Run the suites, print the table; the exit code is that of pytest."""
    parser = argparse.ArgumentParser("scripts/torture", description=f"The long forms of tests/{{{','.join(SUITES)}}}.")
    parser.add_argument("what", nargs="*", metavar="WHAT", help="a suite, or a test file; all suites by default")
    parser.add_argument("--seed", type=int, help="of all that is left to chance (default: a new one)")
    parser.add_argument(
        "--points", type=int, help="at most so many crash points of each kind and scenario, and cases of each fuzz test"
    )
    parser.add_argument("--write", action="store_true", help="also write the table into docs/reliability.md")
    given = parser.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    paths = [f"tests/{name}" if name in SUITES else name for name in given.what or SUITES]
    paths = [path for path in paths if given.what or (REPO / path).exists()]
    with tempfile.TemporaryDirectory(prefix="glm-aria-torture-") as folder:
        results = Path(folder, "results.xml")
        options = ["--torture", f"--seed={seed}", "-n", "auto", "--dist", "worksteal"]
        options += [f"--points={given.points}"] if given.points is not None else []
        options += [f"--junitxml={results}", f"--basetemp={folder}/tests"]
        code = subprocess.run([sys.executable, "-m", "pytest", *options, *paths], cwd=REPO, check=False).returncode
        command = "scripts/torture " + " ".join([*given.what, f"--seed {seed}"])
        if given.points is not None:
            command += f" --points {given.points}"
        table = render(read(results), command) if results.exists() else ""
    print(table)
    if given.write and table:
        write(REPO / "docs" / "reliability.md", table)
    return code


if __name__ == "__main__":
    sys.exit(main())
