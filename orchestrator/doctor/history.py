"""Past pulls as values: one for each model that fetched something. No I/O. Units: unix seconds, seconds, bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Past:
    """A model that was pulled: when it was done, how long it took, and the bytes that each source sent, by name."""

    at: float
    model: str
    size: int
    seconds: float
    sources: Mapping[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """Bytes/s of all together; None where nothing came."""
        return self.size / self.seconds if self.size and self.seconds > 0 else None

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
