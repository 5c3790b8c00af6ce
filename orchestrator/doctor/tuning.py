"""Settings that fit what was measured, each with its reason. No I/O.

Only what the figures speak of is changed, and only where the change is worth it: a setting within the noise stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.core.sizes import format_speed
from orchestrator.core.sources import Source
from orchestrator.doctor.history import Past
from orchestrator.mirrors.rates import WORTH, Rates, enough
from orchestrator.mirrors.stats import Remembered, Stats

_FAST = 20e6
_MOST_CONNECTIONS, _MOST_BUDGET = 64, 1024
# Of a source that was never measured over several.
_USUAL = 16
# A source's usual wait for an answer, times this, is waited before it is given up.
_PATIENCE = 20.0
_LEAST_TIMEOUT, _MOST_TIMEOUT = 10.0, 60.0
_RECENT = 20


@dataclass(frozen=True, slots=True)
class Current:
    """The settings as they are."""

    connections: int
    budget: int
    jobs: int | None
    etag_timeout: float
    download_timeout: float
    mirrors: tuple[Source, ...]
    root: Source


@dataclass(frozen=True, slots=True)
class Change:
    """`key` as in the settings file. `mirror` has the sources in their new order, instead of a number."""

    key: str
    old: object
    new: object
    reason: str


def suggest(current: Current, stats: Stats, past: Sequence[Past]) -> tuple[Change, ...]:
    """The changes; none where nothing was measured or all is right. Of `past` pulls only how long small ones took."""
    return tuple(_changes(current, stats, past[-_RECENT:]))


def _changes(current: Current, stats: Stats, past: Sequence[Past]) -> Iterator[Change]:
    sources = [source for source in (current.root, *current.mirrors) if stats.quarantine_of(source) is None]
    connections, reason = _connections(current, sources, stats)
    if connections != current.connections:
        yield Change("transfer.connections_per_mirror", current.connections, connections, reason)
    working = [source for source in sources if stats.of(source).rate or stats.of(source).rates]
    needed = [(source.name, _needed(stats.of(source))) for source in working]
    budget = max(current.budget, min(sum(number for _, number in needed), _MOST_BUDGET))
    if budget > current.budget:
        words = "the sources need so many: " + ", ".join(f"{name} {number}" for name, number in needed)
        yield Change("transfer.connection_budget", current.budget, budget, words)
    if current.jobs is not None and current.jobs < min(16, budget) and (small := _small_files(past)):
        yield Change("transfer.jobs", current.jobs, min(64, budget), small)
    yield from _timeouts(current, sources, stats)
    order = _order(current.mirrors, stats)
    if order is not None:
        yield Change("mirror", current.mirrors, order[0], order[1])


def _connections(current: Current, sources: Sequence[Source], stats: Stats) -> tuple[int, str]:
    """As few as give the best source all that it has to give."""
    ladders = [(source, _ladder(stats.of(source))) for source in sources]
    known = [(source, ladder) for source, ladder in ladders if len(ladder) > 1]
    if not known:
        return current.connections, ""
    source, ladder = max(known, key=lambda item: max(rate for _, rate in item[1]))
    best = max(rate for _, rate in ladder)
    count, rate = enough(ladder) or ladder[0]
    now = max((rate for at, rate in ladder if at <= current.connections), default=0.0)
    if count > current.connections and best > WORTH * now:
        words = f"{source.name} sends {format_speed(rate)} over {count}, {format_speed(now)} over {current.connections}"
        return min(count, _MOST_CONNECTIONS), words
    if count < current.connections and ladder[0][1] >= _FAST and ladder[0][1] * WORTH >= best:
        one = f"{source.name} sends {format_speed(ladder[0][1])} over 1 connection already"
        return max(4, count), f"{one}; more of them bring nothing, and cost processor time"
    return current.connections, ""


def _needed(known: Remembered) -> int:
    """Connections that are enough for a source."""
    ladder = _ladder(known)
    found = enough(ladder) if len(ladder) > 1 else None
    return found[0] if found else _USUAL


def _ladder(known: Remembered) -> Rates:
    """Rates by number of connections, fewest first: those of one probe, else what pulls and probes had on average."""
    if known.rates:
        return tuple(sorted(known.rates))
    found = [(1, known.rate_one)] if known.rate_one else []
    # A pull or a probe used several; how many is not remembered.
    return tuple((n, r) for n, r in [*found, (_USUAL, known.rate_many)] if r)


def _small_files(past: Sequence[Past]) -> str | None:
    slow = [one for one in past if one.rate is not None and one.came < 50e6 and one.seconds > 5]
    return f"{len(slow)} of the last pulls were small and took long: files one after the other" if slow else None


def _timeouts(current: Current, sources: Sequence[Source], stats: Stats) -> Iterator[Change]:
    """Longer where answers take long; never shorter than the defaults, which a person chose."""
    waits = [(seen, source) for source in sources if (seen := stats.of(source).latency)]
    if not waits:
        return
    slowest, source = max(waits, key=lambda item: item[0])
    fitting = float(math.ceil(min(max(_PATIENCE * slowest, _LEAST_TIMEOUT), _MOST_TIMEOUT)))
    words = f"{source.name} takes {1000 * slowest:.0f} ms for a small answer"
    for key, old in (("etag_timeout", current.etag_timeout), ("download_timeout", current.download_timeout)):
        if fitting > old:
            yield Change(f"transfer.{key}", old, fitting, words)


def _order(mirrors: Sequence[Source], stats: Stats) -> tuple[tuple[Source, ...], str] | None:
    """Mirrors by what they sent, in pulls and probes; those in quarantine last."""

    def rate(source: Source) -> float:
        if stats.quarantine_of(source) is not None:
            return -1.0
        return stats.of(source).rate or 0.0

    order = tuple(sorted(mirrors, key=lambda source: -rate(source)))
    if order == tuple(mirrors) or rate(order[0]) <= 0:
        return None
    return order, "the fastest first: " + ", ".join(f"{m.name} {format_speed(max(0.0, rate(m)))}" for m in order)
