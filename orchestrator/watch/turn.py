"""A pull of a watch, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from orchestrator.events import Emit
from orchestrator.lists.request import Item
from orchestrator.pulling.report import PullReport
from orchestrator.system.signals import Stop
from orchestrator.system.threads import start

Pull = Callable[[tuple[Item, ...], Stop, Emit], PullReport]
"""One pull; ends soon when its Stop is set."""


class Turn:
    """One pull in a thread of its own."""

    def __init__(self, items: tuple[Item, ...], pull: Pull, emit: Emit) -> None:
        self.items = items
        self.stop = Stop()
        self.report: PullReport | None = None
        self.error: BaseException | None = None
        self.began = time.monotonic()
        self._pull, self._emit = pull, emit
        # A daemon: a server that does not answer must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="turn", daemon=True)
        start(self._thread)

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.report = self._pull(self.items, self.stop, self._emit)
        except BaseException as error:  # noqa: BLE001 - raised again by the waiting thread
            self.error = error
