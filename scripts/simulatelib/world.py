"""Worlds to simulate: so many nodes, their lines, what they fetch, and what fails."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.files import Algorithm, Digest

MBIT = 1e6 / 8
GBIT = 1e9 / 8


class Fault(StrEnum):
    """KILL: the node is gone at once. SLOW: its line has a tenth of its rate. LIAR: it alters what it sends. MUTE: no
    scheduler answers. PART: nodes of odd and even numbers hear nothing of each other, and each side has a scheduler."""

    KILL = "kill"
    SLOW = "slow"
    LIAR = "liar"
    MUTE = "mute"
    PART = "part"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What fails from `at` on, in parts of the ideal time. `until`, in the same measure, ends MUTE and PART. `nodes`:
    how many of those that fetch from the origin then."""

    fault: Fault
    at: float
    until: float = float("inf")
    nodes: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """So many nodes that want blobs of these sizes, all from one origin. Rates are bytes per second, each way.

    `zones`: into how many the nodes are divided. `late`: nodes that join only when all others are through. `is_alone`:
    there is no scheduler, and nodes go by rendezvous.
    """

    nodes: int
    sizes: tuple[int, ...]
    origin: float
    line: float
    zones: int = 1
    late: int = 0
    is_alone: bool = False
    troubles: tuple[Trouble, ...] = field(default=())

    @property
    def size(self) -> int:
        """The bytes that each node wants."""
        return sum(self.sizes)

    @property
    def ideal(self) -> float:
        """Seconds that one copy takes through the narrowest line."""
        return self.size / min(self.origin, self.line)


def digest(number: int) -> Digest:
    """The digest of a simulated blob."""
    return Digest(Algorithm.SHA256, hashlib.sha256(b"%d" % number).hexdigest())
