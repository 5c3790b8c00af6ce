"""The order in which sources are asked, from what is remembered of them, and a warning for each that is left out."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from orchestrator.core.sources import Source
from orchestrator.events import Emit, Notice
from orchestrator.mirrors.stats import Quarantine, Remembered, Stats

# Expected of a source that nobody has measured, in bytes/s: it comes after those that are known to be fast, and before
# those that are known to be slow, so that a new one gets its chance.
UNKNOWN = 4e6


def rank(sources: Sequence[Source], memory: Stats) -> tuple[Source, ...]:
    """`sources` in the order of what may be expected of them, without those in quarantine.

    Equal ones keep the order in which they were given. The root is never left out, since it alone is trusted to be
    right: when it stands in quarantine, it comes last.
    """
    free = [source for source in sources if memory.quarantine_of(source) is None]
    last = [source for source in sources if source.is_root and source not in free]
    return (*sorted(free, key=lambda source: _key(memory.of(source), memory.at)), *last)


def expected_rate(known: Remembered, now: float) -> float:
    """Bytes/s to expect: the remembered rate, the nearer to `UNKNOWN` the older it is, halved for each late failure."""
    sure = known.confidence(now) if known.rate is not None else 0.0
    rate = sure * (known.rate or 0.0) + (1 - sure) * UNKNOWN
    return float(rate * 0.5 ** known.failures_at(now))


def _key(known: Remembered, now: float) -> tuple[float, float]:
    """Faster first; of equally fast ones the nearer."""
    return -expected_rate(known, now), known.latency if known.latency is not None else float("inf")


def usable(sources: Sequence[Source], memory: Stats, emit: Emit) -> tuple[Source, ...]:
    """`rank`, with a warning for each source that is left out, or is kept only because it is the root."""
    for source in sources:
        if warning := _warning(source, memory.quarantine_of(source)):
            emit(warning)
    return rank(sources, memory)


def warnings(sources: Iterable[tuple[Source, Quarantine | None]]) -> tuple[Notice, ...]:
    """One notice for each source in quarantine."""
    return tuple(warning for source, found in sources if (warning := _warning(source, found)))


def _warning(source: Source, found: Quarantine | None) -> Notice | None:
    if found is None:
        return None
    what = "is used last" if source.is_root else "is skipped"
    command = f"glm-aria mirrors forgive {shlex.quote(source.name)}"
    message = f"{source.name} {what}: {found.reason}; to use it again: {command}"
    return Notice("mirror-quarantined", message, source.name, found.evidence.file if found.evidence else None)
