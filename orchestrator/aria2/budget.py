"""How many connections a job gets: arithmetic on sizes, so that a test can check it without a daemon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.aria2.interface import Limits
from orchestrator.aria2.options import PIECE_LENGTH

SMALL = 2 * PIECE_LENGTH  # below this a second connection gains nothing
# Small files given to aria2 for each connection of the budget: it starts the next one without waiting for our poll.
_QUEUE_DEPTH = 4


@dataclass(slots=True)
class Budget:
    """What is left to start: connections for big files, places for small ones, and files in all."""

    limits: Limits
    big_room: int
    small_room: int
    job_room: int
    has_big: bool

    @classmethod
    def of(cls, limits: Limits, running: Iterable[tuple[int, int]], waiting: Sequence[int]) -> Budget:
        """Room beside the `running` (size, connections), for `waiting` jobs of these sizes in bytes."""
        running = list(running)
        big_used = sum(connections for size, connections in running if size >= SMALL)
        small_used = sum(1 for size, _ in running if size < SMALL)
        has_big = big_used > 0 or any(size >= SMALL for size in waiting)
        has_small = small_used > 0 or any(size < SMALL for size in waiting)
        # A quarter is kept for small files, so that they arrive beside the big ones and not after them.
        reserve = limits.budget // 4 if has_small else 0
        return cls(
            limits,
            big_room=limits.budget - reserve - big_used,
            small_room=(limits.budget - big_used if has_big else limits.budget * _QUEUE_DEPTH) - small_used,
            job_room=limits.jobs - len(running) if limits.jobs else len(waiting),
            has_big=big_used > 0,
        )

    @property
    def is_spent(self) -> bool:
        """True when nothing at all can start."""
        return self.job_room <= 0 or (self.big_room <= 0 and self.small_room <= 0)

    def offer(self, size: int) -> int:
        """Connections for a file of `size` bytes, 0 when it must wait."""
        if size < SMALL:
            return 1 if self.small_room > 0 else 0
        wanted = min(
            self.limits.connections_per_mirror * self.limits.mirrors, self.limits.budget, max(1, size // PIECE_LENGTH)
        )
        # A big file keeps the connections it starts with. So it rather waits than starts with few, unless it is alone.
        if self.has_big and wanted > self.big_room:
            return 0
        return max(0, min(wanted, self.big_room))

    def take(self, size: int, connections: int) -> None:
        """Count a job that started with `connections`."""
        self.job_room -= 1
        if size < SMALL:
            self.small_room -= 1
        else:
            self.has_big = True
            self.big_room -= connections
            self.small_room -= connections
