"""A command that runs on a machine of the lab, and what came of it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.sources import node_of


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code (negative: the signal), what was printed, when it began and ended, in monotonic seconds, and the
    seconds of the processor that it took, with all processes that it had waited for."""

    code: int
    stdout: str
    stderr: str
    began: float
    ended: float
    cpu_s: float

    @property
    def wall_s(self) -> float:
        """The seconds that it took."""
        return self.ended - self.began

    @property
    def document(self) -> Any:
        """The JSON document of `--json`. Raises ValueError when it printed none."""
        return json.loads(self.stdout)


class Running:
    """A command under way. `pid` is the process of the command itself."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: Path, stderr: Path) -> None:
        self.pid, self.stdout, self.stderr, self._process = process.pid, stdout, stderr, process
        self._began = time.monotonic()
        self._ended: Ended | None = None

    @classmethod
    def start(cls, argv: Sequence[str], environment: Mapping[str, str], folder: Path, name: str) -> Running:
        """Start it with its output in new files of the folder, which have this name."""
        number = sum(1 for _ in folder.glob("*.err"))
        stdout, stderr = (folder / f"{number}-{name}.{kind}" for kind in ("out", "err"))
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                argv, env=dict(environment), cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        return cls(process, stdout, stderr)

    def wait(self, wait_s: float = 120) -> Ended:
        """Wait until it ends. Raises AssertionError, with what it said last, when it does not within the time."""
        if self._ended is None:
            self._ended = self._reaped(wait_s)
        return self._ended

    def _reaped(self, wait_s: float) -> Ended:
        descriptor = os.pidfd_open(self.pid)
        try:
            is_over, _, _ = select.select([descriptor], [], [], wait_s)
        finally:
            os.close(descriptor)
        if not is_over:
            self.kill()
            raise AssertionError(f"{self._process.args!r} goes on after {wait_s} s: {self.said()[-2000:]}")
        _, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        ended = time.monotonic()
        stdout = self.stdout.read_text("utf-8", "replace")
        return Ended(self._process.returncode, stdout, self.said(), self._began, ended, usage.ru_utime + usage.ru_stime)

    def said(self) -> str:
        """What it has said so far on stderr."""
        return self.stderr.read_text("utf-8", "replace")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it was waited for."""
        if self._ended is None:
            os.kill(self.pid, number)

    def terminate(self, wait_s: float = 30) -> Ended:
        """SIGTERM, and wait until it has ended."""
        self.send(signal.SIGTERM)
        return self.wait(wait_s)

    def kill(self) -> Ended:
        """SIGKILL, and wait until it has ended."""
        self.send(signal.SIGKILL)
        return self.wait()


def peers_share(ended: Sequence[Ended]) -> float:
    """The share of peers in the bytes that these pulls fetched, by their reports."""
    files = [file for one in ended for model in one.document["data"]["models"] for file in model["files"]]
    by_source = [(name, count) for file in files for name, count in file["sources"].items()]
    total = sum(count for _, count in by_source)
    return sum(count for name, count in by_source if node_of(name)) / total if total else 0.0
