"""The handler of a signal may run between any two lines of a thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
LINES = range(1, 16)
"""More than a wait runs before the system is asked to wait."""


def interrupted(line: int, work: Callable[[], T], handler: Callable[[], object]) -> Future[T]:
    """Work in a thread that `handler` interrupts before the line of this number that it runs, or when it waits.

    The thread is a daemon, so work that hangs fails a test and holds up nobody.
    """
    left, was_reached = line, threading.Event()
    done: Future[T] = Future()

    def trace(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal left
        left -= event == "line"
        if left > 0:
            return trace
        sys.settrace(None)
        was_reached.set()
        handler()
        return None

    def run() -> None:
        sys.settrace(trace)
        try:
            found = work()
        finally:
            sys.settrace(None)
        done.set_result(found)

    threading.Thread(target=run, daemon=True).start()
    if not was_reached.wait(0.2):
        handler()
    return done
