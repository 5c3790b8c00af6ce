"""Telling observers how far a file has been read."""

from __future__ import annotations

import time

from orchestrator.core.files import Digest
from orchestrator.events import Emit, FileProgress, Phase

_STEP = 16 << 20


class Reading:
    """Reports the progress of reading a blob, once in every `step` bytes. Give it to a reader as `on_bytes`.

    `done` bytes of `total` were read before. With `timed` it tells the speed, too.
    """

    def __init__(  # noqa: PLR0913 - what each event repeats
        self,
        emit: Emit,
        digest: Digest,
        name: str,
        phase: Phase,
        total: int,
        *,
        done: int = 0,
        step: int = _STEP,
        timed: bool = False,
    ) -> None:
        self._emit = emit
        self._digest, self._name, self._phase = digest, name, phase
        self._total, self._done, self._told, self._step = total, done, done, step
        self._since = time.monotonic() if timed else None

    def __call__(self, count: int) -> None:
        """`count` more bytes were read."""
        self._done += count
        if self._done - self._told >= self._step:
            self._told = self._done
            speed = round(self._done / max(1e-3, time.monotonic() - self._since)) if self._since is not None else 0
            self._tell(self._phase, min(self._done, self._total), speed)

    def begin(self) -> None:
        """Tell where it begins."""
        self._tell(self._phase, self._done)

    def end(self, phase: Phase = Phase.DONE) -> None:
        """All was read, and this is what became of it."""
        self._tell(phase, self._total)

    def _tell(self, phase: Phase, done: int, speed: int = 0) -> None:
        self._emit(FileProgress(self._digest, self._name, phase, done, self._total, speed))
