"""Demand: who wanted which model when, as a pull or a client of `serve` did. Units: unix seconds, seconds, bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Demand:
    """One wish for a model: `size` are its bytes, `came` those that had to come for it, 0 for a hit, and `waited` how
    long who wanted it waited. `sources` are the bytes that each source sent, by name."""

    at: float
    model: str
    size: int
    came: int
    waited: float
    sources: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_hit(self) -> bool:
        """True where all of it was here."""
        return self.came == 0
