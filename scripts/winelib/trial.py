"""What is to work on Windows, and what is to be refused there: commands, how each ends, and a word that it prints."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo

FILES = {"config.json": b"{}\n", "model.safetensors": b"w" * 100_000, "sub/a.txt": b"a" * 300}
_LOCK = """\
version = 1

[[model]]
ref = "org/m@main"
commit = "{commit}"
trust = "root"
source = "https://hub.example"
files = [
  {{ path = "config.json", size = 3, git = "{commit}", sha256 = "{commit}{commit:.24}" }},
]
"""
REFUSED = 73
"""The exit code of what takes calls that Windows lacks."""
_PATIENCE = 120


@dataclass(frozen=True, slots=True)
class Step:
    """A command, its exit code, and a text that it prints."""

    words: tuple[str, ...]
    code: int
    says: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended."""

    step: Step
    code: int
    output: str
    seconds: float

    @property
    def is_fine(self) -> bool:
        """True when it ended as it should, and without a traceback."""
        is_said = self.step.says in self.output and "Traceback" not in self.output
        return self.code == self.step.code and is_said


def steps(commit: str) -> Iterator[Step]:
    """All of them, for a Hub that has `org/m` at this commit."""
    yield Step(("--version",), 0, "glm-aria")
    yield Step(("--help",), 0, "Exit codes:")
    yield Step(("pull", "--help"), 0, "--include")
    yield Step(("config", "show"), 0, "cache_dir")
    yield Step(("config", "path"), 0, "glm-aria")
    yield Step(("config", "show", "--json"), 0, '"status"')
    yield Step(("env",), 0, "HF_")
    yield Step(("render",), 0, "nginx")
    yield Step(("completion", "bash"), 0, "_glm_aria")
    yield Step(("plan", "org/m"), 0, commit)
    yield Step(("plan", "org/m", "--json"), 0, '"bytes_to_fetch": 100303')
    yield Step(("plan", "org/m", "--include", "*.json", "--by-folder"), 0, "1 file(s)")
    yield Step(("plan", "--file", "models.txt"), 0, commit)
    yield Step(("plan", "org/absent"), 66, "org/absent")
    yield Step(("lock", "diff", "one.lock", "one.lock"), 0, "")
    yield Step(("cache", "ls"), 0, "")
    yield Step(("history",), 0, "")
    yield Step(("daemon", "status"), 0, "")
    yield Step(("mirrors", "ls"), 0, "")
    yield Step(("verify",), 0, "")
    yield Step(("doctor", "--json"), 0, '"status"')
    for words in (
        ("pull", "org/m"),
        ("pull", "org/m", "--local-dir", "here"),
        ("watch", "models.txt"),
        ("serve", "--listen", "127.0.0.1:0"),
        ("run", "--", "cmd"),
        ("daemon", "start"),
        ("cache", "gc"),
        ("cache", "pin", "org/m"),
    ):
        yield Step(words, REFUSED, "wsl --install")


def run(program: Sequence[str], work: Path, environment: Mapping[str, str]) -> Iterator[Ended]:
    """Run all steps in an empty folder, by the words that start a Python."""
    repo = Repo("model", "org/m", FILES)
    with LoopbackHub([repo]) as hub:
        (work / "models.txt").write_text("org/m include=*.json\n", "utf-8")
        (work / "one.lock").write_text(_LOCK.format(commit=repo.head), "utf-8")
        own = {**environment, "HF_ENDPOINT": hub.url, "GLM_ARIA_MIRRORS": "", "NO_PROXY": "*", "PYTHONUTF8": "1"}
        for step in steps(repo.head):
            begun = time.monotonic()
            words = [*program, "-m", "orchestrator.cli.main", *step.words]
            ended = subprocess.run(
                words,
                cwd=work,
                env=own,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_PATIENCE,
                check=False,
            )
            output = ended.stdout.decode("utf-8", "replace").replace(os.linesep, "\n")
            yield Ended(step, ended.returncode, output, time.monotonic() - begun)
