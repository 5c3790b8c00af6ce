"""All tests as `scripts/test` runs them, and a second chance for a few: alone, one at a time.

What passes only then is named at the end. It does not keep a change out, but it is a defect: of the test, or of the
program on a busy machine.

    python -m tests.gate [pytest arguments]
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

MOST = 5
"""More failures than these are no matter of chance."""


def run(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments; its exit code, or that of the second chance."""
    # A cache of its own: another run's failures are not in it, nor a killed run's.
    with tempfile.TemporaryDirectory(prefix="glm-aria-gate-") as cache:
        common = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}"]
        # One seed for both: some tests are drawn by it, and are not there with another one.
        given = next((word.partition("=")[2] for word in arguments if word.startswith("--seed=")), None)
        env = {"TEST_SEED": str(secrets.randbelow(1 << 32)), **os.environ} | ({"TEST_SEED": given} if given else {})
        code = subprocess.run([*common, *arguments], env=env, check=False).returncode
        failed = last_failed(Path(cache))
        # Any other code: it was stopped, or could not collect all tests.
        if code != pytest.ExitCode.TESTS_FAILED or not 0 < len(failed) <= MOST:
            return code
        print(f"\n==> once more, alone: {len(failed)} that failed", flush=True)
        measured = ["--cov", "--cov-append"] if "--cov" in arguments else []
        code = subprocess.run([*common, "-n", "0", *measured, *failed], env=env, check=False).returncode
        unsteady = [name for name in failed if name not in last_failed(Path(cache))]
        if code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and unsteady:
            print("\n==> passed only when run alone, so to be mended:", *unsteady, sep="\n    ", flush=True)
        return code


def last_failed(cache: Path) -> list[str]:
    """The ids of the tests that failed last, as pytest remembers them."""
    try:
        return list(json.loads((cache / "v/cache/lastfailed").read_text("utf-8")))
    except FileNotFoundError:
        return []


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
