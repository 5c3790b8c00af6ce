"""What a row of the table is: what goes wrong, and how a run must end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tests.hub.faults import Fault


class Place(StrEnum):
    """Which sources misbehave; beside each, what is left."""

    ALONE = "the root, and there is no other source"
    MIRROR = "one mirror of two, and the root is good"
    ROOT = "the root, and a mirror is good"
    EVERY = "the root and both mirrors"

    @property
    def leaves_a_good_source(self) -> bool:
        return self in (Place.MIRROR, Place.ROOT)


@dataclass(frozen=True, slots=True)
class Victim:
    """The file that a fault is about."""

    path: str
    size: int
    is_lfs: bool


Arm = Callable[[Random, Victim], Sequence[Fault]]
"""Makes the faults of a source for one file."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row about bytes: `arm` makes a source wrong, `alone` is the exit code when no good source is left.

    With `at_resolve` the root may be wrong where it tells where the bytes are, too, not only where they come from.
    `lfs_only` faults mean nothing for other files, nor for those of `least` bytes or fewer, or more than
    `most`. `deadline_s` bounds a run that ends badly.
    """

    row: int
    name: str
    arm: Arm
    alone: int
    places: tuple[Place, ...] = tuple(Place)
    at_resolve: bool = False
    lfs_only: bool = False
    least: int = 1000
    most: int = 1 << 40
    deadline_s: float = 60


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of a case: its seed, and the place that a long run asks for (None: the seed decides)."""

    index: int
    place: Place | None = None

    @property
    def suffix(self) -> str:
        """What tells the turns of a case apart in a test's name."""
        return "" if self.place is None else f" - {self.place.name.lower()} {self.index}"


@dataclass(frozen=True, slots=True)
class Listing:
    """A row at the root's listing, which no other source can stand in for."""

    fault: Callable[[Random], Fault]
    code: int


def turns(case: Case, *, torture: bool) -> list[Turn]:
    """Three seeds at every place in the long form; in the short one a single turn."""
    if not torture:
        return [Turn(0)]
    return [Turn(index, place) for place in case.places for index in range(3)]
