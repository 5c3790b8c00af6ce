"""Facts that the doctor found out: of each source, this machine and its network. Values only.

Units: seconds, bytes, bytes per second.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.aria2.endpoint import OpenRpc
from orchestrator.core.network.resolvers import Reply
from orchestrator.core.sources import Source
from orchestrator.mirrors.probe import Probe
from orchestrator.mirrors.rates import enough
from orchestrator.mirrors.stats import Quarantine


class Freshness(StrEnum):
    """The state of the model at a source: whole, another version, absent, or unknown."""

    FRESH = "fresh"
    STALE = "stale"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One source, as a survey found it: what was measured, and what it has of the model.

    `held` is how many of the `wanted` large files it lists with the right digest, where its commits are its own; None
    where the commit itself was compared. `proxy` is the one that it is asked through, `direct` the rate over one
    connection past that, None where there is none or no other way.
    """

    source: Source
    probe: Probe
    state: Freshness = Freshness.UNKNOWN
    held: int | None = None
    wanted: int | None = None
    quarantine: Quarantine | None = None
    proxy: str | None = None
    direct: float | None = None

    @property
    def name(self) -> str:
        """As settings and messages call it."""
        return self.source.name

    @property
    def error(self) -> str | None:
        """The reason why the measurement did not finish; None if it did."""
        return self.probe.error.message if self.probe.error else None

    @property
    def is_usable(self) -> bool:
        """True when it answered, may be used and has the model."""
        return self.probe.error is None and self.quarantine is None and self.state is not Freshness.ABSENT

    @property
    def best(self) -> tuple[int, float] | None:
        """The fastest of the rates, with its number of connections."""
        return max(self.probe.rates, key=lambda item: item[1], default=None)

    @property
    def enough(self) -> tuple[int, float] | None:
        """The fewest connections that bring what all of them bring, with their rate."""
        return enough(self.probe.rates)

    def rate_with(self, connections: int) -> float | None:
        """The best rate that was measured with at most so many connections."""
        return max((rate for count, rate in self.probe.rates if count <= connections), default=None)


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about this machine and its sources; None for those that could not be measured.

    `together` is the rate of all usable sources at once. `open_files` is the soft and the hard limit. `roomier` is a
    folder on another disk with room. `mirrors_hint` are the mirrors to try as GLM_ARIA_MIRRORS names them; `without`
    has, by a source's name, the command that leaves it out.
    """

    size: int
    sources: tuple[SourceFacts, ...] = ()
    together: float | None = None
    mirrors_hint: str = ""
    without: tuple[tuple[str, str], ...] = ()
    replies: tuple[Reply, ...] = ()
    resolvers_set: tuple[str, ...] = ()
    connections: int = 64
    budget: int = 64
    max_speed: int | None = None
    is_offline: bool = False
    free: int | None = None
    write_rate: float | None = None
    roomier: str | None = None
    aria2_version: str | None = None
    aria2_features: tuple[str, ...] = ()
    aria2_path: str | None = None
    aria2_is_packaged: bool = False
    aria2_install: str = "sudo apt-get install aria2"
    open_files: tuple[int, int] | None = None
    litter: int = 0
    unreadable: tuple[str, ...] = ()
    open_rpcs: tuple[OpenRpc, ...] = ()

    @property
    def usable(self) -> tuple[SourceFacts, ...]:
        """The sources that answered and may be used."""
        return tuple(source for source in self.sources if source.is_usable)

    @property
    def best_rate(self) -> float | None:
        """Bytes/s that the fastest source sends."""
        return max((best[1] for source in self.usable if (best := source.best)), default=None)

    @property
    def rate(self) -> float | None:
        """Bytes/s of all sources together, which none of them alone exceeds."""
        return max((rate for rate in (self.together, self.best_rate) if rate is not None), default=None)

    @property
    def expected_seconds(self) -> float | None:
        """The time that the download takes at that rate, or at the limit or the disk's rate where that is lower."""
        bounds = [rate for rate in (self.rate, self.max_speed, self.write_rate) if rate]
        return self.size / min(bounds) if self.rate else None
