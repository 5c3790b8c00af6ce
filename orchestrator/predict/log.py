"""The demand of this site: `demand.jsonl` in the state folder, lines as `trace` has them, mode 0600, the newest 12 MB.

A line that cannot be read is passed over: it is a loss of history and of nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.disk.atomic import write_file
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import append_state
from orchestrator.predict.demand import Demand
from orchestrator.predict.trace import line_of, read_lines
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import RECORD_BYTES, open_regular, read_small, read_stream

MOST = 12_000_000
"""Bytes that are kept: a hundred thousand wishes."""
_FILE = "demand.jsonl"
# The file is cut only when it is this much too long: mostly a line is added, and nothing rewritten or read.
_SLACK = 4_000_000
_HEAD = 256


@dataclass(frozen=True, slots=True)
class _Known:
    """The wishes up to the byte `end` of a file that begins with `head`."""

    head: bytes = b""
    end: int = 0
    demands: tuple[Demand, ...] = ()


class DemandLog:
    """The file of one cache. Who reads it again reads what is new. Errors per `system.failures`."""

    def __init__(self, state_dir: Path, most: int = MOST, slack: int = _SLACK) -> None:
        self._folder = state_dir
        self._most = most
        self._slack = slack
        self._known = _Known()

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
        """All, the oldest first; none where the file cannot be read. For one thread at a time."""
        try:
            fd = open_regular(self.path)
        except OSError:
            return ()
        try:
            head, known = os.read(fd, _HEAD), self._known
            if head != known.head or os.fstat(fd).st_size < known.end:  # it was cut, or is another one
                known = _Known(head)
            os.lseek(fd, known.end, os.SEEK_SET)
            whole, end, _ = read_stream(fd, RECORD_BYTES, self.path).rpartition(b"\n")  # the rest is being written
        except OSError:
            return ()
        finally:
            os.close(fd)
        fresh = read_lines(whole).demands
        demands = tuple(sorted(known.demands + fresh, key=lambda demand: demand.at)) if fresh else known.demands
        self._known = _Known(head, known.end + len(whole) + len(end), demands)
        return demands
