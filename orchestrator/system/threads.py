"""Threads, as many as the system grants: where it refuses one, those that there are do the work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Thread

from orchestrator.errors import TemporaryError
from orchestrator.system.limits import is_tight, scarce


class Pool(ThreadPoolExecutor):
    """An executor that makes do with fewer threads than it was made for; `submit` raises TemporaryError without any.

    Where few are allowed it has one, so that one is left for each of the others.
    """

    def __init__(self, max_workers: int, thread_name_prefix: str = "") -> None:
        super().__init__(1 if is_tight() else max_workers, thread_name_prefix)

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:
            if not self._threads:
                raise scarce(error) or error from error


def start(thread: Thread) -> None:
    """Start a thread. Raises TemporaryError where the system refuses it."""
    try:
        thread.start()
    except RuntimeError as error:
        raise scarce(error) or error from error


def try_start(thread: Thread) -> bool:
    """Start a thread that can be done without; False where the system refuses it."""
    try:
        start(thread)
    except TemporaryError:
        return False
    return True
