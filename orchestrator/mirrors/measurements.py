"""What is known about sources from earlier runs, how it ages, and why one is not used any more. Values only.

Units: seconds, bytes per second, unix seconds for points in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core.sources import Source

# After this time a measurement counts half: networks are slow at one hour and fast at another, but mostly themselves.
HALF_LIFE = 86_400.0
# Trouble is forgotten sooner: a site that was down is worth a try a few hours later.
FAILURE_HALF_LIFE = 6 * 3_600.0
# A transfer of fewer bytes tells the latency, not the rate.
LEAST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a source did wrong: bytes `first` to `last` (inclusive; None: the whole) of `file` had another digest."""

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
class Sample:
    """One observation. `rate` was had with `connections` at once; None is not measured."""

    latency: float | None = None
    rate: float | None = None
    connections: int = 1
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Remembered:
    """A source as it was. Averages weigh the newest sample at least half, and more the older they are themselves.

    `seen` is when it last did its work, `tried` when it was last observed at all; 0 is never. `failures` is how often
    it failed, with old failures counting less; see `failures_at`.
    """

    name: str
    latency: float | None = None
    rate_one: float | None = None
    rate_many: float | None = None
    failures: float = 0.0
    seen: float = 0.0
    tried: float = 0.0
    quarantine: Quarantine | None = None

    @property
    def rate(self) -> float | None:
        """What it may be expected to send in all; the better of both rates."""
        return max((rate for rate in (self.rate_one, self.rate_many) if rate is not None), default=None)

    def failures_at(self, now: float) -> float:
        """Failures, as they weigh at `now`."""
        return self.failures * _decay(now - self.tried, FAILURE_HALF_LIFE)

    def confidence(self, now: float) -> float:
        """How much the averages still say, 1 to 0. A clock that was set back makes nothing look new."""
        return _decay(abs(now - self.seen), HALF_LIFE) if self.seen else 0.0

    def after(self, sample: Sample, now: float) -> Remembered:
        """What is remembered once `sample` was taken at `now`."""
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
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """All that is remembered, by `Source.address`, as it was read at the time `at`."""

    at: float
    entries: Mapping[str, Remembered] = field(default_factory=dict)

    def of(self, source: Source) -> Remembered:
        """What is known of a source; a blank for one that was never seen."""
        return self.entries.get(source.address) or Remembered(source.name)

    def quarantine_of(self, source: Source) -> Quarantine | None:
        """Why a source must not be used; None when it may."""
        return self.of(source).quarantine


def _average(old: float | None, new: float | None, keep: float) -> float | None:
    if new is None or old is None:
        return old if new is None else new
    return keep * old + (1 - keep) * new


def _decay(age: float, half_life: float) -> float:
    return float(0.5 ** (max(0.0, age) / half_life))
