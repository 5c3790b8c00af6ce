"""A flow on behalf of a caller from Python, who keeps the signals of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from orchestrator.system import threads
from orchestrator.system.signals import Stop

T = TypeVar("T")


def in_order(step: Callable[[], T], stop: Stop) -> T:
    """Do a step, in a thread of its own, and end it in good order when the caller's thread is interrupted meanwhile.

    So a KeyboardInterrupt, which Python raises in the main thread wherever that is, never meets a half-done step. Once
    bytes are moving it is passed on when the step has ended; a second one at once. Raises what the step raises.
    """
    outcome: Future[T] = Future()

    def do() -> None:
        try:
            outcome.set_result(step())
        except BaseException as error:  # noqa: BLE001 - passed on to the caller's thread
            outcome.set_exception(error)

    # Interrupted twice, it keeps no interpreter from ending.
    thread = threading.Thread(target=do, name="glm-aria", daemon=True)
    threads.start(thread)
    try:
        return outcome.result()
    except BaseException:
        if not outcome.done():
            stop.set()
            if not stop.is_abrupt:
                thread.join()
        raise
