"""A watch that a test moves by hand: what `depot.watch.Watch` shows a reader."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.core.extents import Extent, Extents, Range
from orchestrator.core.plan import Job
from orchestrator.depot.watch import State
from orchestrator.errors import GlmAriaError


class PlainWatch:
    """Bytes arrive by `come`, and are taken back by `doubt`."""

    def __init__(self, job: Job, part: Path, content: bytes) -> None:
        self.job, self.part, self.content = job, part, content
        self.state = State.WAITING
        self.epoch = 1
        self.arrived = Extents()
        self.error: GlmAriaError | None = None
        self.is_closed = False
        self._calls: list[Callable[[], None]] = []

    def come(self, start: int, end: int, content: bytes | None = None) -> None:
        """These bytes are in the part now."""
        if not self.part.exists():
            self.part.write_bytes(bytes(len(self.content)))
        with self.part.open("r+b") as part:
            part.seek(start)
            part.write((content or self.content)[start:end])
        self.arrived = self.arrived.put([Extent(start, end, "root")])
        self.become(State.ARRIVING)

    def doubt(self) -> None:
        """The proof failed: what arrived is no longer believed."""
        self.epoch += 1
        self.arrived = Extents()
        self.become(State.SUSPECT)

    def become(self, state: State) -> None:
        self.state = state
        for call in tuple(self._calls):
            call()

    def subscribe(self, call: Callable[[], None]) -> None:
        self._calls = [call]

    def want(self, ranges: Iterable[Range]) -> None:
        """Nothing is given out here."""

    def close(self) -> None:
        self.is_closed = True
