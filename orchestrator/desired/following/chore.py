"""Work of a follower in a thread of its own, so that it goes on looking meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from orchestrator.system import threads
from orchestrator.system.signals import Stop

T = TypeVar("T")


class Chore(Generic[T]):
    """One call; it ends soon when its Stop is set."""

    def __init__(self, call: Callable[[Stop], T], name: str) -> None:
        self.stop = Stop()
        self._call = call
        self._result: list[T] = []
        self._error: BaseException | None = None
        # A daemon: a server that does not answer must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        threads.start(self._thread)

    @property
    def is_done(self) -> bool:
        """True once it has ended."""
        return not self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(seconds)

    def result(self) -> T:
        """The result. Raises what ended it."""
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._call(self.stop))
        except BaseException as error:  # noqa: BLE001 - raised again by who asks for the result
            self._error = error
