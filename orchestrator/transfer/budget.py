"""How many connections and downloads may be open: arithmetic on limits, without a daemon."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.transfer.interface import Limits

# Small files given to couriers for each connection of the budget: they start the next without waiting for our poll.
_QUEUE_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """`big_most` connections for large files, in `spans_most` downloads of `width` each; `small_most` small files."""

    big_most: int
    spans_most: int
    width: int
    small_most: int

    @classmethod
    def of(cls, limits: Limits, *, has_big: bool, has_small: bool, big_used: int = 0) -> Budget:
        """The shares of large and small files, when there are some, and large ones use `big_used` connections now."""
        # A quarter is kept for small files, so that they arrive beside the big ones and not after them.
        reserve = limits.budget // 4 if has_small and has_big else 0
        big_most = max(1, limits.budget - reserve)
        small_most = max(1, limits.budget - big_used if has_big else limits.budget * _QUEUE_DEPTH)
        if limits.downloads is None or limits.downloads >= limits.budget:
            return cls(big_most, big_most, 1, small_most)
        # A daemon that runs few downloads at once gets few, each with several connections.
        spans = max(1, limits.downloads)
        width = min(16, -(-limits.connections_per_mirror // spans))
        return cls(big_most, spans, width, small_most)
