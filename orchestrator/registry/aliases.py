"""Aliases: names such as `prod` that stand for a digest and are moved by who names what they stood for. No I/O.

All moves are kept as `core/versions.py` has them. So where two sites moved one apart from each other, both moves are
seen once either learns of the other; what was agreed on before stands, and the next move names both.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from orchestrator.core.versions import Clock, Dot, Edit, Edits

_MOST = 64
"""Moves that are kept of an alias: what two sites had agreed on further back than that is forgotten."""


class AliasMovedError(Exception):
    """An alias does not stand for what somebody expected; `present` is what it stands for, one digest or none, or
    several that sites do not agree on."""

    def __init__(self, present: Collection[str]) -> None:
        super().__init__()
        self.present = tuple(sorted(present))


@dataclass(frozen=True, slots=True)
class Alias:
    """One alias with its moves; a move to nothing removes it."""

    edits: Edits = field(default_factory=Edits)

    @property
    def digest(self) -> str | None:
        """The digest that is served for it; None when there is none."""
        agreed = self.edits.agreed
        return agreed.value or None if agreed else None

    @property
    def heads(self) -> frozenset[str]:
        """The digests that it stands for: more than one where sites moved it apart from each other."""
        return frozenset(head.value for head in self.edits.heads if head.value)

    @property
    def is_disputed(self) -> bool:
        """True where sites moved it apart from each other, and nobody has said since which is right."""
        return len(self.edits.heads) > 1

    def moved(self, to: str, expected: Collection[str], writer: str, epoch: int) -> Alias:
        """Move it, or with an empty digest remove it. Raises AliasMovedError when it does not stand for `expected`."""
        if self.heads != frozenset(expected):
            raise AliasMovedError(self.heads)
        dot = Dot(writer, self._next_clock(writer, epoch))
        made = self.edits.put(dot, to, (head.dot for head in self.edits.heads))
        return Alias(_recent(made))

    def merged(self, other: Alias) -> Alias:
        """All moves of both sites."""
        return Alias(_recent(self.edits | other.edits))

    def _next_clock(self, writer: str, epoch: int) -> Clock:
        last = self.edits.vector.clocks.get(writer, (0, 0))
        return (epoch, 1) if epoch > last[0] else (last[0], last[1] + 1)


def _recent(edits: Edits) -> Edits:
    """The moves without those of long ago. None of these is a head: a later one knew of it."""
    heads = set(edits.heads)
    old = sorted(edits.made - heads, key=_age)
    return Edits(frozenset({*old[-_MOST:], *heads}))


def _age(edit: Edit) -> tuple[int, Dot]:
    return sum(number for _, number in edit.knew.clocks.values()), edit.dot
