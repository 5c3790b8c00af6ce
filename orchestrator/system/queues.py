"""A queue whose reader waits until a time, also while signals are handled."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from contextlib import suppress
from queue import Empty
from typing import Generic, TypeVar

T = TypeVar("T")


class OneReaderQueue(Generic[T]):
    """Items for one thread that takes them out; any thread may put them in, and so may a signal handler.

    Python's own do not for a thread that handles signals: before Python 3.13 `SimpleQueue.get` waits for ever when its
    time is up at the end of a handler, and `Queue` deadlocks when a handler puts something in.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._bell = threading.Lock()  # free when something was put in
        self._bell.acquire()

    def put(self, item: T) -> None:
        """Add an item."""
        self._items.append(item)
        with suppress(RuntimeError):  # it is free
            self._bell.release()

    def get(self, until: float) -> T:
        """The next item; waits for it until then (monotonic seconds, may be infinite). Raises queue.Empty."""
        while not self._items:
            left = until - time.monotonic()
            if not self._bell.acquire(timeout=-1 if left == math.inf else max(0.0, left)):
                raise Empty
        return self._items.popleft()
