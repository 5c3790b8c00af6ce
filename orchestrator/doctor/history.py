"""Past pulls: `history.jsonl` in the state folder, one JSON object a line, mode 0600, the newest thousand.

    {"at": 1.0, "model": "org/name@main", "size": 1, "seconds": 1.0, "sources": {"huggingface.co": 1}, "is_held": false}

A line that cannot be read is passed over: it is a loss of history and of nothing else. Units: unix seconds, seconds,
bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orchestrator.disk.atomic import write_file
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import UNREADABLE, append_state
from orchestrator.pulling.report import FileState, PullReport
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import RECORD_BYTES, read_small

MOST = 1000
_FILE = "history.jsonl"
# The file is cut only when it is this much too long: mostly a line is added, and nothing rewritten.
_SLACK = 200


@dataclass(frozen=True, slots=True)
class Past:
    """A model that was pulled: when that ended, the bytes of the files that it got, how long it took, and the bytes
    that each source sent, by name. One that `is_held` back had a limit, or left the line to others."""

    at: float
    model: str
    size: int
    seconds: float
    sources: Mapping[str, int] = field(default_factory=dict)
    is_held: bool = False

    @property
    def came(self) -> int:
        """The bytes that came in this run: without what an earlier one had fetched, with those of files that are not
        whole."""
        return sum(self.sources.values()) or self.size

    @property
    def rate(self) -> float | None:
        """Bytes/s of all together; None where nothing came."""
        return self.came / self.seconds if self.came and self.seconds > 0 else None

    def rate_of(self, source: str) -> float | None:
        """Bytes/s of one source, over the whole time of the pull."""
        sent = self.sources.get(source, 0)
        return sent / self.seconds if sent and self.seconds > 0 else None


def rates_over_time(past: Iterable[Past]) -> dict[str, tuple[float, ...]]:
    """For each source its rates, the oldest first, of the pulls to which it gave something."""
    found: dict[str, list[float]] = {}
    for one in past:
        for name in one.sources:
            rate = one.rate_of(name)
            if rate is not None:
                found.setdefault(name, []).append(rate)
    return {name: tuple(rates) for name, rates in sorted(found.items())}


def entries_of(report: PullReport, now: float, *, is_held: bool = False) -> tuple[Past, ...]:
    """One for each model of which bytes came."""
    return tuple(
        Past(now, model.ref, model.bytes_of(FileState.FETCHED), model.seconds, sent, is_held)
        for model in report.models
        if (sent := model.sent)
    )


class History:
    """The file of one cache. Errors per `system.failures`."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir

    @property
    def path(self) -> Path:
        """The path of the history file."""
        return self._folder / _FILE

    def add(self, entries: Sequence[Past]) -> None:
        """Add entries, and cut the oldest."""
        lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
        with on_disk("write", self.path), state_lock(self._folder / "history.lock"):
            append_state(self.path, lines.encode())
            kept = read_small(self.path, RECORD_BYTES).splitlines(keepends=True)
            if len(kept) > MOST + _SLACK:
                write_file(self.path, b"".join(kept[-MOST:]), self._folder / "stage", mode=0o600)

    def read(self) -> tuple[Past, ...]:
        """All, the oldest first."""
        try:
            lines = read_small(self.path, RECORD_BYTES).splitlines()
        except OSError:
            return ()
        return tuple(found for line in lines[-MOST:] if (found := _past(line)) is not None)


def _past(line: bytes) -> Past | None:
    try:
        value = json.loads(line)
        found = Past(
            float(value["at"]),
            str(value["model"]),
            int(value["size"]),
            float(value["seconds"]),
            {str(name): int(count) for name, count in value["sources"].items()},
            bool(value.get("is_held", False)),
        )
    except UNREADABLE:
        return None
    is_sane = math.isfinite(found.at) and math.isfinite(found.seconds) and found.size >= 0 and found.seconds >= 0
    return found if is_sane else None
