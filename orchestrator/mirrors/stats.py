"""Statistics of sources from earlier runs: their aging, and quarantine.

It is kept in `sources.json` in the state folder, mode 0600:

    {"version": 1, "sources": {ADDRESS: the fields of Remembered}}

A file that cannot be read counts as empty: then sources are measured again, and a liar is caught again. Rates by number
of connections were in `doctor.json` once, by the source's name; it is read until the next change is written. Units:
seconds, bytes per second, unix seconds for points in time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.core.exponential import decay
from orchestrator.core.sources import Source
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import read_state, write_state
from orchestrator.mirrors.counts import HOURS, MOST, Count, Counts, learn
from orchestrator.mirrors.rates import Rates, still_grows
from orchestrator.system.failures import on_disk

# After this time a measurement counts half: networks are slow at one hour and fast at another, but mostly themselves.
HALF_LIFE = 86_400.0
# Trouble is forgotten sooner: a site that was down is worth a try a few hours later.
FAILURE_HALF_LIFE = 6 * 3_600.0
# A transfer of fewer bytes tells the latency, not the rate.
LEAST_BYTES = 256 * 1024
_FILE = "sources.json"
_OLD_FILE = "doctor.json"
# What was neither seen nor judged for so long is forgotten: addresses of a lab come and go.
_FORGOTTEN = 180 * 86_400.0
_NUMBERS = ("failures", "seen", "tried")
_AVERAGES = ("latency", "rate_one", "rate_many")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence of wrong data from a source: bytes `first` to `last` (inclusive; None: the whole) of `file` had another
    digest."""

    file: str
    expected: str
    got: str
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A source is not used, since when and why."""

    since: float
    reason: str
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation. `rate` was had with `connections` at once; None is not measured.

    `rates` are those by number of connections that a probe measured one after the other. `count` connections showed to
    be of use, over the address `family` (4, 6, or 0 for unknown).
    """

    latency: float | None = None
    rate: float | None = None
    connections: int = 1
    failed: bool = False
    rates: Rates = ()
    count: int | None = None
    family: int = 0


@dataclass(frozen=True, slots=True)
class Remembered:
    """A source as it was. Averages weigh the newest sample at least half, and more the older they are themselves.

    `seen` is when it last did its work, `tried` when it was last observed at all; 0 is never. `failures` is how often
    it failed, with old failures counting less; see `failures_at`. `rates` by number of connections are of one probe,
    the newest that found where more of them bring nothing, or else tried as many numbers.
    """

    name: str
    latency: float | None = None
    rate_one: float | None = None
    rate_many: float | None = None
    failures: float = 0.0
    seen: float = 0.0
    tried: float = 0.0
    quarantine: Quarantine | None = None
    rates: Rates = ()
    counts: Counts = ()

    @property
    def rate(self) -> float | None:
        """The expected total rate; the better of both rates."""
        return max((rate for rate in (self.rate_one, self.rate_many) if rate is not None), default=None)

    def failures_at(self, now: float) -> float:
        """Failures, as they weigh at `now`."""
        return self.failures * decay(now - self.tried, FAILURE_HALF_LIFE)

    def confidence(self, now: float) -> float:
        """The weight of the averages, 1 to 0. A clock that was set back makes nothing look new."""
        return decay(abs(now - self.seen), HALF_LIFE) if self.seen else 0.0

    def after(self, sample: Observation, now: float) -> Remembered:
        """The statistics after `sample` was taken at `now`."""
        failures = self.failures_at(now)
        if sample.failed:
            return replace(self, failures=failures + 1, tried=now)
        keep = self.confidence(now) / 2
        one = sample.rate if sample.connections == 1 else None
        many = sample.rate if sample.connections > 1 else None
        return replace(
            self,
            latency=_average(self.latency, sample.latency, keep),
            rate_one=_average(self.rate_one, one, keep),
            rate_many=_average(self.rate_many, many, keep),
            failures=failures / 2,
            seen=now,
            tried=now,
            rates=sample.rates if self._is_better(sample.rates) else self.rates,
            counts=learn(self.counts, sample.family, sample.count, now) if sample.count else self.counts,
        )

    def _is_better(self, rates: Rates) -> bool:
        return len(rates) > 1 and (len(rates) >= len(self.rates) or not still_grows(rates))


@dataclass(frozen=True, slots=True)
class Stats:
    """All that is remembered, by `Source.address`, as it was read at the time `at`."""

    at: float
    entries: Mapping[str, Remembered] = field(default_factory=dict)

    def of(self, source: Source) -> Remembered:
        """The statistics of a source; blank for one that was never seen."""
        return self.entries.get(source.address) or Remembered(source.name)

    def quarantine_of(self, source: Source) -> Quarantine | None:
        """The reason why a source must not be used; None if it may."""
        return self.of(source).quarantine


def _average(old: float | None, new: float | None, keep: float) -> float | None:
    if new is None or old is None:
        return old if new is None else new
    return keep * old + (1 - keep) * new


class SourceStats:
    """The file of one cache. `now` is unix seconds. Every change is one locked read and one rename; errors as in
    `system.failures`."""

    def __init__(self, state_dir: Path, *, now: Callable[[], float] = time.time) -> None:
        self._folder = state_dir
        self._now = now

    def read(self) -> Stats:
        """All that is known, as of now."""
        return Stats(self._now(), self._read())

    def observe(self, samples: Mapping[Source, tuple[Observation, ...]]) -> None:
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
            (self._folder / _OLD_FILE).unlink(missing_ok=True)

    def _read(self) -> dict[str, Remembered]:
        entries = read_state(self._folder / _FILE, _entries) or {}
        old = read_state(self._folder / _OLD_FILE, _old_rates) or {}
        return {
            address: replace(known, rates=known.rates or old.get(known.name, ())) for address, known in entries.items()
        }


def _entries(data: dict[str, Any]) -> dict[str, Remembered]:
    return {str(address): _remembered(value) for address, value in data["sources"].items()}


def _remembered(value: dict[str, Any]) -> Remembered:
    latency, one, many = (None if value[name] is None else _number(value[name]) for name in _AVERAGES)
    failures, seen, tried = (_number(value[name]) for name in _NUMBERS)
    found = value["quarantine"]
    return Remembered(
        str(value["name"]), latency, one, many, failures, seen, tried, _quarantine(found) if found else None,
        _rates(value.get("rates", ())), _counts(value.get("counts", ())),
    )  # fmt: skip


def _count(value: dict[str, Any]) -> Count:
    family, hour, connections = (int(_number(value[name])) for name in ("family", "hour", "connections"))
    return Count(family, hour, connections, _number(value["at"]))


def _counts(values: Any) -> Counts:
    """Counts as they were learned; none where they are odd: no quarantine may be lost for a hint."""
    try:
        found = tuple(_count(one) for one in values)
    except (ValueError, KeyError, TypeError, OverflowError):
        return ()
    return found if all(0 <= one.hour < HOURS and one.connections for one in found) and len(found) <= MOST else ()


def _rates(pairs: Any) -> Rates:
    return tuple((int(count), _number(rate)) for count, rate in pairs)


def _old_rates(data: dict[str, Any]) -> dict[str, Rates]:
    return {str(name): _rates(pairs) for name, pairs in data["rates"].items()}


def _quarantine(value: dict[str, Any]) -> Quarantine:
    found = value["evidence"]
    return Quarantine(_number(value["since"]), str(value["reason"]), Evidence(**found) if found else None)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{value!r} is not a measurement")
    return number
