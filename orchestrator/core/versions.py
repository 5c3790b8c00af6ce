"""Versions of what several writers change with no lock between them: who had seen what, and which changes collide.

For the aliases and lists of a registry. (What the nodes of a fleet say has one writer each: registers with a version
are enough there, see `swarm/board`.) A writer numbers its changes by a clock of its own. A vector says how far each
writer has been heard; vectors merge in any order, and one that has seen all that another has comes after it. A report
of a node replaces its former one, so there the vector is all. `Edits` are the changes of a value with many writers,
such as the alias `prod`: each says which ones it knew, so that two that did not know of each other are found, both are
shown, and what all had agreed on before stands meanwhile. No wall clock decides. (Version vectors: Parker and others,
1983; dots: Preguiça and others, 2010.)
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


@dataclass(frozen=True, slots=True)
class Edit:
    """A value that a writer set, and what it `knew` when it did."""

    dot: Dot
    value: str
    knew: Vector


@dataclass(frozen=True, slots=True)
class Edits:
    """All changes of one value. Those of an alias stay few: people make them."""

    made: frozenset[Edit] = frozenset()

    def __or__(self, other: Edits) -> Edits:
        """The changes of both: the merge."""
        return Edits(self.made | other.made)

    @property
    def vector(self) -> Vector:
        """All changes that are here."""
        return Vector.of(change.dot for change in self.made)

    def since(self, seen: Vector) -> Edits:
        """The changes that somebody lacks who has seen so much; merged there, they make both the same."""
        return Edits(frozenset(change for change in self.made if change.dot not in seen))

    @property
    def heads(self) -> tuple[Edit, ...]:
        """The changes that no other one knew of, by their dots. More than one: they were made at the same time."""
        return _heads(self.made)

    @property
    def agreed(self) -> Edit | None:
        """The change to be served: the only head, or else the last that all heads had agreed on; None before any."""
        heads, left = self.heads, self.made
        while len(heads) > 1:
            left = frozenset(change for change in left if all(change.dot in head.knew for head in heads))
            heads = _heads(left)
        return heads[0] if heads else None

    def put(self, dot: Dot, value: str, supersedes: Iterable[Dot]) -> Edits:
        """Add a change. It has to name all heads: a writer must not replace what it did not see.

        Raises ValueError when these are not the heads, or when the writer's clock has not moved on.
        """
        if dot in self.vector:
            raise ValueError(f"{dot.writer} has made a change of this clock or a later one")
        if {head.dot for head in self.heads} != set(supersedes):
            raise ValueError("it was changed meanwhile: " + ", ".join(head.dot.writer for head in self.heads))
        return Edits(self.made | {Edit(dot, value, self.vector)})


def _heads(changes: Iterable[Edit]) -> tuple[Edit, ...]:
    known = tuple(changes)
    heads = (change for change in known if not any(change.dot in other.knew for other in known))
    return tuple(sorted(heads, key=lambda change: change.dot))
