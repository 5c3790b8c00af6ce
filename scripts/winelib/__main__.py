"""The command line of `scripts/try-wine`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.winelib import interpreter, trial


def main() -> int:
    """Try all steps, and print how each ended; 1 when one did not end as it should."""
    parser = argparse.ArgumentParser("scripts/try-wine", description="What is to work on Windows, and what is not.")
    parser.add_argument("--here", action="store_true", help="on this Windows, with the Python that runs this")
    return _on_windows() if parser.parse_args().here else _in_wine()


def _on_windows() -> int:
    with tempfile.TemporaryDirectory(prefix="glm-aria-windows-") as folder:
        return _try((sys.executable,), Path(folder), dict(os.environ))


def _in_wine() -> int:
    with tempfile.TemporaryDirectory(prefix="glm-aria-wine-") as folder:
        home, work, python = Path(folder, "home"), Path(folder, "work"), Path(folder, "python")
        for each in (home, work, python):
            each.mkdir()
        environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "WINEPREFIX": str(home / "wine"),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",
        }
        program = ("wine", str(interpreter.make(python)))
        subprocess.run(["wineboot", "--init"], env=environment, check=True, capture_output=True, timeout=300)
        try:
            print(_said(program, environment))
            return _try(program, work, environment)
        finally:
            subprocess.run(["wineserver", "--kill", "--wait"], env=environment, check=False, timeout=60)


def _said(program: tuple[str, ...], environment: dict[str, str]) -> str:
    """The versions of the Python and of the Windows that it sees."""
    words = [*program, "-c", "import platform, sys; print(sys.version, 'on', platform.platform())"]
    return subprocess.run(
        words, env=environment, check=True, capture_output=True, text=True, timeout=120
    ).stdout.strip()


def _try(program: tuple[str, ...], work: Path, environment: dict[str, str]) -> int:
    is_fine = True
    for ended in trial.run(program, work, environment):
        print(
            f"{'ok' if ended.is_fine else 'NOT'}  {ended.code:3}  {ended.seconds:4.1f} s  {' '.join(ended.step.words)}"
        )
        if not ended.is_fine:
            is_fine = False
            print(f"  wanted {ended.step.code} and {ended.step.says!r}, got:\n{ended.output}")
    left = [path.name for path in sorted(work.rglob("*")) if path.name not in ("models.txt", "one.lock")]
    if left:
        print(f"these were written: {left}")
    return 0 if is_fine and not left else 1


if __name__ == "__main__":
    sys.exit(main())
