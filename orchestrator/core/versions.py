"""Versions of what several writers change with no lock between them: who had seen what.

For what the schedulers of several sites tell each other (see `swarm/control/sites`). A writer numbers its changes by
a clock of its own. A vector says how far each writer has been heard; vectors merge in any order, and one that has seen
all that another has comes after it. A report of a node replaces its former one, so the vector is all that is needed.
No wall clock decides. (Version vectors: Parker and others, 1983; dots: Preguiça and others, 2010.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Clock = tuple[int, int]
"""The epoch of a writer, which grows each time that it starts, and the number of its change within it, from 1."""


class Order(StrEnum):
    """The order of two vectors; CONCURRENT: each has seen something that the other has not."""

    EQUAL = "equal"
    BEFORE = "before"
    AFTER = "after"
    CONCURRENT = "concurrent"


@dataclass(frozen=True, slots=True, order=True)
class Dot:
    """The name of one change: who made it, and when by its own clock."""

    writer: str
    clock: Clock


@dataclass(frozen=True, slots=True)
class Vector:
    """The latest clock that was seen of each writer, and so all its changes up to then."""

    clocks: Mapping[str, Clock] = field(default_factory=dict)

    @classmethod
    def of(cls, dots: Iterable[Dot]) -> Vector:
        """The vector that has seen these changes, and no later ones."""
        clocks: dict[str, Clock] = {}
        for dot in dots:
            clocks[dot.writer] = max(dot.clock, clocks.get(dot.writer, dot.clock))
        return cls(clocks)

    def __hash__(self) -> int:
        return hash(frozenset(self.clocks.items()))

    def __contains__(self, dot: Dot) -> bool:
        """True when this change was seen: a report with such a dot comes late."""
        return dot.writer in self.clocks and dot.clock <= self.clocks[dot.writer]

    def __or__(self, other: Vector) -> Vector:
        """All that either has seen: the merge, which is commutative, associative and idempotent."""
        return Vector.of((*self.dots(), *other.dots()))

    def dots(self) -> Iterable[Dot]:
        """The latest change of each writer."""
        return (Dot(writer, clock) for writer, clock in self.clocks.items())

    def lacks(self, other: Vector) -> frozenset[str]:
        """The writers of whom the other has seen more: all that this side has to ask for after a partition."""
        return frozenset(dot.writer for dot in other.dots() if dot not in self)

    def compare(self, other: Vector) -> Order:
        """The order of this and the other; a partial one."""
        match bool(self.lacks(other)), bool(other.lacks(self)):
            case False, False:
                return Order.EQUAL
            case True, False:
                return Order.BEFORE
            case False, True:
                return Order.AFTER
            case _:
                return Order.CONCURRENT
