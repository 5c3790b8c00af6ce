"""A board in the memory of one process, for a fleet with one scheduler, and for tests."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from orchestrator.swarm.board.interface import CHANGES, QUIET, BoardAnswer, Mark, Register


class _Cell:
    """The registers and the log that several boards of one process share."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self.registers: dict[tuple[str, str], Register] = {}
        self.log: deque[tuple[int, object, tuple[Register, ...]]] = deque(maxlen=CHANGES)
        self.born = time.time_ns()
        self.count = 0
        self.changed = float("-inf")


class MemoryBoard:
    """See `interface.FleetBoard`. `beside` makes the board of another scheduler over the same registers. Shelves are
    never forgotten: the process ends before."""

    def __init__(self, cell: _Cell | None = None) -> None:
        self._cell = cell or _Cell()

    def beside(self) -> MemoryBoard:
        """Another one that shares its registers."""
        return MemoryBoard(self._cell)

    def lose_all(self) -> None:
        """Forget everything, as a store does that comes back empty."""
        with self._cell.guard:
            self._cell.forget()

    def exchange(self, puts: Sequence[Register], after: Mark | None) -> BoardAnswer:
        """See `interface.FleetBoard`."""
        cell = self._cell
        with cell.guard:
            now = time.monotonic()
            is_quiet = now - cell.changed > QUIET
            won = tuple(map(self._take, puts))
            if taken := tuple(put for put, is_won in zip(puts, won, strict=True) if is_won):
                cell.count += 1
                cell.changed = now
                cell.log.append((cell.count, self, taken))
            mark = (cell.born, cell.count)
            first = cell.log[0][0] if cell.log else cell.count + 1
            if after is None or after[0] != cell.born or after[1] + 1 < first:
                return BoardAnswer(won, tuple(cell.registers.values()), mark, True, is_quiet)
            news = [put for number, by, batch in cell.log if number > after[1] and by is not self for put in batch]
        return BoardAnswer(won, tuple(news), mark, is_quiet=is_quiet)

    def close(self) -> None:
        """See `interface.FleetBoard`."""

    def _take(self, put: Register) -> bool:
        key = (put.shelf, put.name)
        known = self._cell.registers.get(key)
        if put.version <= (known.version if known else (0, 0)):
            return False
        if put.value:
            self._cell.registers[key] = put
        else:
            self._cell.registers.pop(key, None)
        return True
