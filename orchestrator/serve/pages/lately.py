"""Results of steps that take long, each looked at again when it is old and somebody asks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Generic, TypeVar

from orchestrator.errors import GlmAriaError
from orchestrator.serve.http.once import Once

T = TypeVar("T")


class Lately(Generic[T]):
    """The result of a step that blocks, which is done in a thread, at most once in `seconds`, and only for who asks.

    One that takes long is done less often: it takes a twentieth of the time at most, but is done every `longest`
    seconds.

    For the thread of the event loop. `clock` is monotonic seconds.
    """

    def __init__(
        self,
        step: Callable[[], T],
        seconds: float,
        pool: Executor,
        clock: Callable[[], float] = time.monotonic,
        *,
        longest: float = math.inf,
    ) -> None:
        self._step = step
        self._seconds = seconds
        self._longest = longest
        self._once = Once(pool)
        self._clock = clock
        self._at = -float("inf")
        self._took = 0.0
        self.last: T | None = None

    async def get(self, patience: float) -> T | None:
        """A result of the last `seconds`; where that takes longer than `patience`, or fails, the one before. None
        before the first one."""
        if self._clock() - self._at < max(self._seconds, min(20 * self._took, self._longest)):
            return self.last
        with suppress(TimeoutError):
            await self._once.do("step", self._do, patience)
        return self.last

    def _do(self) -> None:
        began = self._clock()
        with suppress(GlmAriaError):
            self.last = self._step()
        self._at = self._clock()
        self._took = self._at - began
