"""The demand of this site: `demand.jsonl` in the state folder, lines as `trace` has them, mode 0600, the newest 12 MB.

A line that cannot be read is passed over: it is a loss of history and of nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.disk.atomic import write_file
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import append_state
from orchestrator.predict.demand import Demand
from orchestrator.predict.trace import line_of, read_lines
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import RECORD_BYTES, read_small

MOST = 12_000_000
"""Bytes that are kept: a hundred thousand wishes."""
_FILE = "demand.jsonl"
# The file is cut only when it is this much too long: mostly a line is added, and nothing rewritten or read.
_SLACK = 4_000_000


class DemandLog:
    """The file of one cache. Errors per `system.failures`."""

    def __init__(self, state_dir: Path, most: int = MOST, slack: int = _SLACK) -> None:
        self._folder = state_dir
        self._most = most
        self._slack = slack

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self._folder / _FILE

    def add(self, demands: Sequence[Demand]) -> None:
        """Add wishes, and cut the oldest. Costs a write of their lines; threads and processes may do it at once."""
        lines = "".join(map(line_of, demands)).encode()
        with on_disk("write", self.path), state_lock(self._folder / "demand.lock"):
            if append_state(self.path, lines) > self._most + self._slack:
                newest = read_small(self.path, RECORD_BYTES)[-self._most :]
                write_file(self.path, newest.partition(b"\n")[2], self._folder / "stage", mode=0o600, durable=False)

    def read(self) -> tuple[Demand, ...]:
        """All, the oldest first; none where the file cannot be read."""
        try:
            return read_lines(read_small(self.path, RECORD_BYTES)).demands
        except OSError:
            return ()
