"""A blob that a test lets arrive by hand, seen through the depot's own watch."""

from __future__ import annotations

import threading
from pathlib import Path

from orchestrator.core.extents import Extent
from orchestrator.core.plan import Job
from orchestrator.depot.watch import Arrival, State, Watch
from orchestrator.errors import GlmAriaError


class Hand:
    """Bytes arrive by `come`, and are taken back by `doubt`; `watch` shows them."""

    def __init__(self, job: Job, part: Path, content: bytes) -> None:
        self._content = content
        self._arrival = Arrival(job, lambda _digest: part, threading.Lock())
        self.watch = Watch(self._arrival, lambda _: None, None)
        self._arrival.watches.append(self.watch)

    def come(self, start: int, end: int, content: bytes | None = None) -> None:
        """These bytes are in the part now."""
        part = self.watch.part
        if not part.exists():
            part.write_bytes(bytes(len(self._content)))
        with part.open("r+b") as file:
            file.seek(start)
            file.write((content or self._content)[start:end])
        self._arrival.grow(self._arrival.arrived.put([Extent(start, end, "root")]))

    def doubt(self) -> None:
        """The proof failed: what arrived is no longer believed."""
        self._arrival.take_back(state=State.SUSPECT)

    def become(self, state: State, error: GlmAriaError | None = None) -> None:
        """It is in this state now."""
        self._arrival.enter(state, error)
