"""The second chance of a test that failed: alone, named, and for a few only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
# Each test writes down that it ran; a flaky one passes from the second time on.
HEAD = """
import os, signal
from pathlib import Path

def ran(name):
    with open("ran", "a") as log:
        print(name, file=log)
    return Path("ran").read_text().split().count(name)

def test_steady():
    ran("steady")
"""
FLAKY = """
def test_flaky():
    assert ran("flaky") > 1
"""
DRAWN = """
import pytest

@pytest.mark.parametrize("seed", [os.environ["TEST_SEED"]])
def test_drawn(seed):
    assert ran("drawn") > 1
"""
BROKEN = """
def test_broken():
    assert ran("broken") > 9
"""
NAMED = "passed only when run alone"


class Gate:
    """A folder with tests of one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pytest.ini").write_text("[pytest]\n")

    def run(self, *tests: str, workers: int = 0) -> tuple[int, str]:
        """The exit code, and what was printed."""
        (self.folder / "test_it.py").write_text(HEAD + "".join(tests))
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV", "TEST_"))}
        done = subprocess.run(
            [sys.executable, "-m", "tests.gate", "-n", str(workers)],
            cwd=self.folder,
            env={**env, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def ran(self) -> list[str]:
        return sorted((self.folder / "ran").read_text().split())


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_one_that_hangs_is_a_failure_within_minutes(pytestconfig: pytest.Config) -> None:
    assert 0 < float(pytestconfig.getini("timeout")) <= 600


def test_what_passes_is_run_once(gate: Gate) -> None:
    code, said = gate.run()
    assert (code, gate.ran) == (0, ["steady"])
    assert NAMED not in said


@pytest.mark.parametrize("workers", [0, 2])
def test_one_that_passes_alone_is_named_at_the_end(gate: Gate, workers: int) -> None:
    code, said = gate.run(FLAKY, workers=workers)
    assert (code, gate.ran) == (0, ["flaky", "flaky", "steady"])
    assert said.partition(NAMED)[2].split()[-1] == "test_it.py::test_flaky"


def test_one_that_is_drawn_by_the_seed_is_there_again(gate: Gate) -> None:
    code, _ = gate.run(DRAWN)
    assert (code, gate.ran) == (0, ["drawn", "drawn", "steady"])


def test_one_that_fails_again_is_a_failure(gate: Gate) -> None:
    code, said = gate.run(FLAKY, BROKEN)
    assert (code, gate.ran) == (1, ["broken", "broken", "flaky", "flaky", "steady"])
    assert said.partition(NAMED)[2].split()[-1] == "test_it.py::test_flaky"


def test_many_failures_get_no_second_chance(gate: Gate) -> None:
    code, said = gate.run(*(FLAKY.replace("flaky", f"flaky{number}") for number in range(6)))
    assert (code, gate.ran) == (1, sorted([*(f"flaky{number}" for number in range(6)), "steady"]))
    assert NAMED not in said


@pytest.mark.parametrize("workers", [0, 2])
def test_nor_does_a_file_that_cannot_be_read(gate: Gate, workers: int) -> None:
    (gate.folder / "test_other.py").write_text("import no_such_module\n")
    code, said = gate.run(FLAKY, workers=workers)
    assert code not in (0, 5)
    assert NAMED not in said


def test_nor_a_run_that_was_killed(gate: Gate) -> None:
    code, said = gate.run(FLAKY, "def test_last():\n    ran('last')\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    assert code != 0
    assert gate.ran == ["flaky", "last", "steady"]
    assert NAMED not in said


def test_a_worker_that_dies_again_alone_is_a_failure(gate: Gate) -> None:
    code, said = gate.run("def test_last():\n    ran('last')\n    os.kill(os.getpid(), signal.SIGKILL)\n", workers=2)
    assert code != 0
    assert gate.ran == ["last", "last", "steady"]
    assert NAMED not in said
