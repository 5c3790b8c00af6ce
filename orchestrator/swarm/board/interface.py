"""The board as a port: registers with versions, and the order in which they changed.

One rule decides between writers: **a register takes what has a greater version, and nothing else**. So

- the reports of a node, with its epoch and number as the version, cannot be overtaken by older ones;
- who read a version and writes the next one wins only if nobody wrote meanwhile: a lease, a claim;
- the first writer wins where all write the version (0, 1): the task of a key.

Each scheduler follows all changes, and so has the same view of the fleet as the others, for a few operations a second,
however many nodes report. A board may lose everything at any time: who follows it is told all that is left, and puts
back what it knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Version = tuple[int, int]
"""Compared in order; each number is below 2**63, and the greater of two counts. (0, 0): there is none yet."""

Mark = tuple[int, int]
"""A place in the order of changes of a board: its birth, and the number of the change."""

LIFE = 86400
"""Seconds that a shelf is kept after its last change."""
CHANGES = 512
"""Exchanges that a board remembers for those who follow it: who is further behind reads everything."""
QUIET = 10.0
"""Seconds without a change after which nobody is taken to be there: who is, changes something each second."""
MOST_VALUE = 8 << 20
MOST_NAME = 512
MOST_NUMBER = 2**63 - 1
_SHELF = re.compile(r"[a-z0-9][a-z0-9:._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Register:
    """A value and its version, by its name on a shelf. A shelf, one for each blob, say, is forgotten as a whole. An
    empty value takes the register away, and its version with it.

    Raises ValueError for what no board can hold.
    """

    shelf: str
    name: str
    version: Version
    value: bytes

    def __post_init__(self) -> None:
        if not _SHELF.fullmatch(self.shelf):
            raise ValueError("no name of a shelf")
        if not self.name or len(self.name) > MOST_NAME or len(self.value) > MOST_VALUE:
            raise ValueError("a register without a name, or too long")
        epoch, number = self.version
        if not (0 <= epoch <= MOST_NUMBER and 0 <= number <= MOST_NUMBER):
            raise ValueError("no version")


@dataclass(frozen=True, slots=True)
class BoardAnswer:
    """The answer of a board.

    `won`: for each register that was put, whether it was taken. `news`: what others have put since the mark of the
    question, in order, and we ourselves in an exchange that failed; `mark` is where that ends. `is_whole`: the news is
    all that the board has, since it lost what was there, or no longer knows the changes since that mark. `is_quiet`:
    before this exchange nothing had changed for `QUIET` seconds. `left_out`: shelves that are longer than any that a
    fleet fills, and so are somebody else's.
    """

    won: tuple[bool, ...]
    news: tuple[Register, ...]
    mark: Mark
    is_whole: bool = False
    is_quiet: bool = False
    left_out: tuple[str, ...] = ()


class FleetBoard(Protocol):
    """Blocks for about a second at most. Thread-safe. What was written there and is no register is left out."""

    def exchange(self, puts: Sequence[Register], after: Mark | None) -> BoardAnswer:
        """Put registers, each once and for itself, and read what changed after a mark, None for all, in one round trip.

        May be repeated: what was taken before is then not won again. Raises TemporaryError when the board cannot be
        reached; whether anything was put is then unknown.
        """

    def close(self) -> None:
        """Hang up."""
