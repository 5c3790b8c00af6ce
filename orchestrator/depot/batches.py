"""Batches: what arrives one by one is worked on together, one batch at a time, and not too often."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Batches(Generic[T]):
    """A queue of items that are taken in batches, `seconds` apart at least. One thread uses it.

    A batch of files that are placed costs a sync of each folder that it touches, so thousands of small ones must not
    come one by one.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._queued: list[T] = []
        self._is_running = False
        self._due = 0.0

    @property
    def is_idle(self) -> bool:
        """True when nothing is queued or under way."""
        return not self._queued and not self._is_running

    def add(self, item: T) -> None:
        """Queue an item."""
        self._queued.append(item)

    def poll(self, begin: Callable[[Sequence[T]], None], *, at_once: bool = False) -> float:
        """Have `begin` called with what is queued, if it is time for that: no batch is under way, and the one before
        began long enough ago, or `at_once`, since nothing else will come. Returns when it will be time, in monotonic
        seconds."""
        if self._is_running or not self._queued:
            return math.inf
        now = self._clock()
        if now < self._due and not at_once:
            return self._due
        self._due = now + self._seconds
        self._is_running = True
        begin(self.take())
        return math.inf

    def take(self) -> Sequence[T]:
        """Take all that is queued, for who works on it without a batch."""
        queued, self._queued = tuple(self._queued), []
        return queued

    def ended(self) -> None:
        """The batch that was under way is done."""
        self._is_running = False
