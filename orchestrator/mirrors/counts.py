"""Numbers of connections that earlier runs ended with, as the beginning of the next one.

A line is another one over IPv6, in the evening, and after some weeks. So a count is kept for each address family and
hour of the day, and counts less the older it is. Units: unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core.exponential import decay

HOURS = 24
MOST = 3 * HOURS
"""Counts of one source: for each hour and family."""
_NEAR_HOURS = 2
_HALF_LIFE = 7 * 86_400.0
_FRESH = 86_400.0
"""Seconds: what was learned since then counts at any hour."""


@dataclass(frozen=True, slots=True)
class Count:
    """So many connections to a source were of use at `at`; `family` is 4 or 6, 0 where that is unknown."""

    family: int
    hour: int
    connections: int
    at: float


Counts = tuple[Count, ...]


def learn(known: Counts, family: int, connections: int, now: float) -> Counts:
    """The counts after a run that ended `now`."""
    new = Count(family, _hour(now), connections, now)
    kept = (one for one in known if (one.family, one.hour) != (new.family, new.hour))
    return tuple(sorted((*kept, new), key=lambda one: one.at))


def beginning(known: Iterable[Count], usual: int, now: float) -> int:
    """The number to begin with: what was learned last over the family that was used last, near this hour or within a
    day; nearer to the `usual` number the older it is."""
    by_age = sorted(known, key=lambda one: one.at, reverse=True)
    for one in by_age:
        apart = abs(one.hour - _hour(now))
        is_near = min(apart, HOURS - apart) <= _NEAR_HOURS or abs(now - one.at) < _FRESH
        if one.family == by_age[0].family and is_near:
            return max(1, round(usual * float((one.connections / usual) ** decay(now - one.at, _HALF_LIFE))))
    return usual


def _hour(at: float) -> int:
    return int(at // 3600) % HOURS
