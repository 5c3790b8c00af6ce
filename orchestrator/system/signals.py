"""SIGINT and SIGTERM as one event that a run looks at."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from orchestrator.errors import Interrupted


class Stop(threading.Event):
    """Set when the user wants the run to end; knows which signal said so.

    While `is_abrupt`, nothing is under way that needs to be ended in order, and the signal may interrupt at once.
    """

    signal_number: int = 2
    is_abrupt: bool = True


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """A Stop that SIGINT and SIGTERM set. The second signal finds the old handler and ends the process."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _frame: FrameType | None) -> None:
        stop.signal_number = number
        stop.set()
        for known, handler in before.items():
            signal.signal(known, handler)
        if stop.is_abrupt:
            raise Interrupted(number)

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
