"""Company of a depot: others who have what it fetches, and who pass on what arrives here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.extents import Extents, Ranges
from orchestrator.core.files import Digest
from orchestrator.depot.candidates import Choosing
from orchestrator.depot.watch import Watch


@dataclass(frozen=True, slots=True)
class Doubt:
    """The bytes to fetch again of a blob that was wrong as a whole, and whom to blame for each part of them ("":
    nobody): `is_together` from the company, else from the most trusted source alone. Of no bytes: the company knows no
    more of it than the depot."""

    bytes: Extents
    is_together: bool = False


OWN_MATTER = Doubt(Extents())


class Engine(Protocol):
    """A depot as its company sees it. Thread-safe."""

    def drop(self, digest: Digest, ranges: Ranges, *, epoch: int | None = None) -> None:
        """Take bytes back, and fetch them again. With `epoch`, as the watch had it before they were read, nothing is
        done if bytes were taken back since."""

    def stir(self) -> None:
        """A source can be asked for more than before, or there are others: look again now."""


class Company(Protocol):
    """Those who take part in what a depot fetches: as sources of it, and as readers of what came."""

    def around(self, locator: Choosing) -> Choosing:
        """A locator that knows their sources, too."""

    def join(self, engine: Engine) -> None:
        """Know the depot, before the first job."""

    def follow(self, watch: Watch) -> None:
        """Take note of a job that is new in the depot. The watch wants nothing of it. Called by any thread, and must
        not block."""

    def doubt(self, digest: Digest, trusted: str) -> Doubt | None:
        """The doubt about a blob that was wrong as a whole, of which `trusted` is the most trusted source. None: ask
        again later, since others are about to settle it. Called before the bytes are taken back; must not block."""
