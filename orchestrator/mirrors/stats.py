"""What earlier runs learned about sources: `sources.json` in the state folder, mode 0600.

    {"version": 1, "sources": {ADDRESS: the fields of core.measurements.Remembered}}

A file that cannot be read counts as empty: then sources are measured again, and a liar is caught again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from orchestrator.core.sources import Source
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import read_state, write_state
from orchestrator.mirrors.measurements import Evidence, Memory, Quarantine, Remembered, Sample
from orchestrator.system.failures import on_disk

_FILE = "sources.json"
# What was neither seen nor judged for so long is forgotten: addresses of a lab come and go.
_FORGOTTEN = 180 * 86_400.0
_NUMBERS = ("failures", "seen", "tried")
_AVERAGES = ("latency", "rate_one", "rate_many")


class SourceMemory:
    """The file of one cache. `now` is unix seconds. Every change is one locked read and one rename; errors as in
    `system.failures`."""

    def __init__(self, state_dir: Path, *, now: Callable[[], float] = time.time) -> None:
        self._folder = state_dir
        self._now = now

    def read(self) -> Memory:
        """All that is known, as of now."""
        return Memory(self._now(), self._read())

    def observe(self, samples: Mapping[Source, tuple[Sample, ...]]) -> None:
        """Keep samples of any number of sources, with one write."""

        def change(entries: dict[str, Remembered], now: float) -> None:
            for source, taken in samples.items():
                known = entries.get(source.address) or Remembered(source.name)
                for sample in taken:
                    known = known.after(sample, now)
                entries[source.address] = replace(known, name=source.name)

        if any(samples.values()):
            self._change(change)

    def quarantine(self, source: Source, reason: str, evidence: Evidence | None = None) -> None:
        """Use `source` no more, until `forgive`. What was known first stays: the oldest evidence is the strongest."""

        def change(entries: dict[str, Remembered], now: float) -> None:
            known = entries.get(source.address) or Remembered(source.name)
            kept = known.quarantine or Quarantine(now, reason, evidence)
            entries[source.address] = replace(known, name=source.name, tried=max(known.tried, now), quarantine=kept)

        self._change(change)

    def forgive(self, name: str) -> tuple[str, ...]:
        """Let sources out of quarantine that have this name or this address; their addresses, none when there is no
        such one."""
        if not self._quarantined(self._read(), name):
            return ()
        freed: list[str] = []

        def change(entries: dict[str, Remembered], _now: float) -> None:
            for address in self._quarantined(entries, name):
                entries[address] = replace(entries[address], quarantine=None, failures=0.0)
                freed.append(address)

        self._change(change)
        return tuple(freed)

    @staticmethod
    def _quarantined(entries: Mapping[str, Remembered], name: str) -> tuple[str, ...]:
        folded = name.rpartition("://")[2].rstrip("/").lower()
        return tuple(
            address
            for address, known in entries.items()
            if known.quarantine is not None and (known.name == name or address.lower() == folded)
        )

    def _change(self, change: Callable[[dict[str, Remembered], float], None]) -> None:
        with on_disk("lock", self._folder), state_lock(self._folder / "sources.lock"):
            entries, now = self._read(), self._now()
            change(entries, now)
            kept = {
                address: asdict(known)
                for address, known in sorted(entries.items())
                if known.quarantine is not None or now - max(known.seen, known.tried) < _FORGOTTEN
            }
            write_state(self._folder / _FILE, self._folder / "stage", {"sources": kept}, indent=1)

    def _read(self) -> dict[str, Remembered]:
        return read_state(self._folder / _FILE, _entries) or {}


def _entries(data: dict[str, Any]) -> dict[str, Remembered]:
    return {str(address): _remembered(value) for address, value in data["sources"].items()}


def _remembered(value: dict[str, Any]) -> Remembered:
    latency, one, many = (None if value[name] is None else _number(value[name]) for name in _AVERAGES)
    failures, seen, tried = (_number(value[name]) for name in _NUMBERS)
    found = value["quarantine"]
    return Remembered(
        str(value["name"]), latency, one, many, failures, seen, tried, _quarantine(found) if found else None
    )


def _quarantine(value: dict[str, Any]) -> Quarantine:
    found = value["evidence"]
    return Quarantine(_number(value["since"]), str(value["reason"]), Evidence(**found) if found else None)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{value!r} is not a measurement")
    return number
