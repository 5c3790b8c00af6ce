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
    A handler may set it whatever the interrupted thread does; an Event deadlocks where that thread is about to `wait`.
    """

    signal_number: int = 2
    is_abrupt: bool = True

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False
        self._gate = threading.Lock()  # free once it is set
        self._gate.acquire()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        self._open()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._is_set and self._gate.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            self._open()  # for the next one that waits
        return self._is_set

    def _open(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is open
            self._gate.release()


@contextlib.contextmanager
def stoppable(given: Stop | None = None) -> Iterator[Stop]:
    """A Stop that SIGINT and SIGTERM set. The second signal finds the old handler and ends the process.

    `given` is that of a caller who keeps the signals.
    """
    if given is not None:
        yield given
        return
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
