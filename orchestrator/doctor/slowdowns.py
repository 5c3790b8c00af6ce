"""Slowdowns: sources that were much slower in their last pull than in earlier ones at such an hour. No I/O, no clock.

A line differs by hour and by day, so a pull is compared with those of other days around the same hour: of the same
weekday where there are enough of them, else of working days or weekends, else of any day. Rates are compared by the
median and the median deviation of their logarithms, so that a few odd pulls change nothing.

Units: unix seconds, seconds, bytes, bytes per second.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from orchestrator.core.refs import Ref
from orchestrator.core.sizes import format_speed
from orchestrator.core.sources import total
from orchestrator.doctor.history import Past

if TYPE_CHECKING:
    from orchestrator.doctor.facts import Facts
    from orchestrator.doctor.findings import Finding

_LEAST_BYTES, _LEAST_SECONDS = 64e6, 20.0
"""A smaller pull tells the start rather than the rate, and what slowed down a shorter one cost little."""
_TIMES, _DEVIATIONS = 3.0, 5.0
"""A slowdown is by this factor, and by so many deviations of what is usual."""
_LEAST_DEVIATION = 0.2
"""Of a logarithm: pulls that happened to be alike promise nothing."""
_LEAST_PULLS, _LEAST_DAYS = 10, 4
_NEAR_HOURS = 2
_MISSED = 0.5
"""Of what a source sent less, the part that the whole pull has to be slower by: what others made up for is no loss."""
_RECOVERED = 0.5
"""Of the usual rate: a source that sends so much again is not slow."""
_NORMAL = 1.4826
"""Standard deviations in a median deviation of normal values."""
_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Slowdown:
    """A source whose `rate` in the pull that ended `at` was below what it `usual`ly is in `pulls` others, which
    `among` describes. `missed` are the bytes/s that `together`, the rate of all sources of that pull, lacked by it."""

    source: str
    at: float
    rate: float
    usual: float
    together: float
    missed: float
    pulls: int
    among: str

    @property
    def times(self) -> float:
        """By which factor it was slower."""
        return self.usual / self.rate

    @property
    def message(self) -> str:
        """The sentence for people."""
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.at))
        return f"{self.source} was {self.times:.1f} times slower in the pull of {when} than on {self.among}"

    @property
    def measured(self) -> str:
        """The figures for people."""
        return f"{format_speed(self.rate)}, and {format_speed(self.usual)} in the median of {self.pulls} pulls"

    def cost(self, size: int) -> float:
        """Seconds that `size` bytes take longer by it."""
        return size / self.together - size / (self.together + self.missed)


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of `pull`: the models that ended in it share its line."""

    at: float
    seconds: float
    sent: Mapping[str, int]

    @property
    def together(self) -> float:
        return sum(self.sent.values()) / self.seconds

    @property
    def when(self) -> time.struct_time:
        return time.localtime(self.at)

    @property
    def day(self) -> tuple[int, int]:
        return self.when.tm_year, self.when.tm_yday

    def rate(self, source: str) -> float:
        return self.sent[source] / self.seconds


def slowdowns(past: Iterable[Past], since: float = 0.0) -> tuple[Slowdown, ...]:
    """The sources that were slow in the last pull that had bytes of them, by name; of pulls before `since` none.

    Pulls that had a limit, or left the line to others, tell nothing and are passed over.
    """
    runs = _runs(past)
    newest = {name: run for run in runs for name in run.sent}
    found = (_judge(name, run, runs) for name, run in sorted(newest.items()) if run.at >= since)
    return tuple(one for one in found if one is not None)


def findings_of(found: Iterable[Slowdown], facts: Facts, ref: Ref | None = None) -> Iterator[Finding]:
    """A finding for each source that answers, and does not send as much again by now."""
    from orchestrator.doctor.findings import Finding

    now = {source.name: source.best for source in facts.usable}
    for one in found:
        best = now.get(one.source)
        if one.source in now and (best is None or best[1] < _RECOVERED * one.usual):
            probe = f"glm-aria mirrors probe {shlex.quote(str(ref))}" if ref else "glm-aria mirrors probe"
            yield Finding("slower-than-usual", one.message, one.measured, one.cost(facts.size), probe, one.source)


def _runs(past: Iterable[Past]) -> tuple[_Run, ...]:
    """The runs that say something, the oldest first."""
    models: dict[float, list[Past]] = {}
    for one in past:
        models.setdefault(one.at, []).append(one)
    found = [
        _Run(at, max(one.seconds for one in run), _sent(run))
        for at, run in sorted(models.items())
        if not any(one.is_held for one in run)
    ]
    return tuple(run for run in found if sum(run.sent.values()) >= _LEAST_BYTES and run.seconds > 0)


def _sent(run: Sequence[Past]) -> Mapping[str, int]:
    return {name: count for name, count in total(one.sources for one in run).items() if count > 0}


def _judge(source: str, run: _Run, runs: Sequence[_Run]) -> Slowdown | None:
    if run.seconds < _LEAST_SECONDS or (chosen := _comparable(source, run, runs)) is None:
        return None
    others, among = chosen
    usual = _Usual.of([other.rate(source) for other in others])
    rate, together = run.rate(source), run.together
    missed = usual.rate - rate
    is_slow = rate * _TIMES <= usual.rate and usual.deviations(rate) >= _DEVIATIONS
    if not is_slow or median(other.together for other in others) - together < _MISSED * missed:
        return None
    return Slowdown(source, run.at, rate, usual.rate, together, missed, len(others), among)


def _comparable(source: str, run: _Run, runs: Sequence[_Run]) -> tuple[Sequence[_Run], str] | None:
    """Earlier runs to compare with, and what they are called; None where there are too few."""
    when = run.when
    near = [other for other in runs if other.at < run.at and other.day != run.day and source in other.sent
            and _apart(other.when.tm_hour, when.tm_hour) <= _NEAR_HOURS]  # fmt: skip
    is_weekend = when.tm_wday >= _SATURDAY
    kinds: tuple[tuple[Callable[[_Run], bool], str], ...] = (
        (lambda other: other.when.tm_wday == when.tm_wday, _WEEKDAYS[when.tm_wday]),
        (lambda other: (other.when.tm_wday >= _SATURDAY) == is_weekend, "weekends" if is_weekend else "working days"),
        (lambda _: True, "days"),
    )
    for is_like, name in kinds:
        found = [other for other in near if is_like(other)]
        if len(found) >= _LEAST_PULLS and len({other.day for other in found}) >= _LEAST_DAYS:
            return found, f"other {name} around {when.tm_hour:02}:00"
    return None


def _apart(hour: int, other: int) -> int:
    return min(abs(hour - other), 24 - abs(hour - other))


@dataclass(frozen=True, slots=True)
class _Usual:
    """A usual rate: the median, and the deviation of logarithms from it."""

    rate: float
    deviation: float

    @classmethod
    def of(cls, rates: Sequence[float]) -> _Usual:
        middle = median(rates)
        apart = median(abs(math.log(rate / middle)) for rate in rates)
        return cls(middle, max(_LEAST_DEVIATION, _NORMAL * apart))

    def deviations(self, rate: float) -> float:
        """By how many deviations a rate is below."""
        return math.log(self.rate / rate) / self.deviation
