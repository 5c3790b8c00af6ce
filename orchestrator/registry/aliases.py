"""Aliases: names such as `prod` that stand for a digest and are moved by who names what they stood for. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 64
"""Moves that are kept of an alias."""


class AliasMovedError(Exception):
    """An alias does not stand for what somebody expected; `present` is the digest for which it stands, or empty."""

    def __init__(self, present: str) -> None:
        super().__init__()
        self.present = present


@dataclass(frozen=True, slots=True)
class Alias:
    """One alias: the digests to which it was moved, the last one at the end; an empty one removed it."""

    moves: tuple[str, ...] = ()

    @property
    def digest(self) -> str | None:
        """The digest for which it stands; None when there is none."""
        return self.moves[-1] or None if self.moves else None

    @property
    def last(self) -> str | None:
        """The digest for which it stands, or stood before it was removed; None for one that never was."""
        return next(filter(None, reversed(self.moves)), None)

    def moved(self, to: str) -> Alias:
        """The same alias moved to a digest, or with an empty one removed."""
        return Alias((*self.moves, to)[-_MOST:])

    def expect(self, digest: str) -> None:
        """Raise AliasMovedError unless it stands for this digest, or with an empty one for nothing."""
        if (self.digest or "") != digest:
            raise AliasMovedError(self.digest or "")
