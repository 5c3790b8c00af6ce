"""A queue for one reader: in order, in time, and with signals in between."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from queue import Empty

import pytest

from orchestrator.system.queues import OneReaderQueue
from tests.system.interrupting import LINES, interrupted

LONG = 30.0


@pytest.fixture
def alarm() -> Iterator[None]:
    """A signal whose handler takes longer than what it interrupts may."""
    before = signal.signal(signal.SIGALRM, lambda *_: time.sleep(0.2))
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_items_come_in_order_and_none_comes_late() -> None:
    queue = OneReaderQueue[int]()
    for number in range(3):
        queue.put(number)
    assert [queue.get(0) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Empty):
        queue.get(0)


def test_many_threads_may_put_items_in() -> None:
    queue = OneReaderQueue[int]()
    threads = [threading.Thread(target=lambda: [queue.put(one) for one in range(500)], daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert sorted(queue.get(time.monotonic() + LONG) for _ in range(2000)) == sorted([*range(500)] * 4)
    with pytest.raises(Empty):
        queue.get(time.monotonic() + 0.01)


def test_a_handler_may_put_one_in_at_any_line_of_a_wait() -> None:
    for line in LINES:
        queue = OneReaderQueue[str]()
        assert interrupted(line, partial(queue.get, math.inf), partial(queue.put, "came")).result(LONG) == "came", line


def test_a_wait_whose_time_is_up_when_a_handler_ends_is_over(alarm: None) -> None:
    queue = OneReaderQueue[str]()
    late = threading.Timer(LONG, queue.put, ["late"])
    late.daemon = True
    late.start()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with pytest.raises(Empty):
        queue.get(time.monotonic() + 0.1)
    late.cancel()
