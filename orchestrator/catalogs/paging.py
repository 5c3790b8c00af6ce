"""A listing that comes in pieces ends: by its size, by its time, and once it brings nothing more."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestrator.core.files import MAX_FILES
from orchestrator.errors import TemporaryError
from orchestrator.net import shapes

MOST_ANSWERS = 2_000
"""A Hub's page holds 1000 entries, or 50 at a mirror that expands them."""

MOST_EMPTY = 8
"""Answers without an entry, one after the other. No catalog has a use for a single one."""

MOST_SECONDS = 900.0
"""Of a whole listing. A million files at a second a page take as long."""


class Paging:
    """Counts the answers of one listing of `repo` at `site`. `clock` is monotonic seconds."""

    def __init__(self, site: str, repo: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._site, self._repo, self._clock = site, repo, clock
        self._began = clock()
        self._answers = self._entries = self._empty = 0

    def took(self, entries: int) -> None:
        """One more answer, with so many entries. Raises ProtocolError when the listing does not end, TemporaryError
        when it takes too long."""
        self._answers += 1
        self._entries += entries
        self._empty = 0 if entries else self._empty + 1
        if self._entries > 2 * MAX_FILES or self._answers > MOST_ANSWERS:
            raise shapes.odd(self._site, f"the listing of {self._repo} does not end")
        if self._empty > MOST_EMPTY:
            raise shapes.odd(self._site, f"the listing of {self._repo} goes on for {self._empty} pages without a file")
        seconds = self._clock() - self._began
        if seconds > MOST_SECONDS:
            raise TemporaryError(
                f"{self._site} is too slow: it sent {self._entries} entries of the listing of {self._repo} in "
                f"{seconds:.0f} s; gave up",
                hint="run the same command again later, or with another --root",
                source=self._site,
            )
