"""`--on-change`: a command that runs after each flip of a model's snapshot, for programs that reload it.

At most once for a flip, one at a time, never before the ref is written. The command gets what changed in its
environment, and no secret of ours in it.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.errors import UsageError
from orchestrator.events import Emit, Event, Flipped, Notice
from orchestrator.platform.processes import KILL, signal_group
from orchestrator.settings.layers import TOLD

PATIENCE = 300.0
"""Seconds that the command may run."""
GRACE = 5.0
"""Seconds that it is given to end, when its time is up or the run is being stopped."""
_STEP = 0.05


@dataclass(frozen=True, slots=True)
class Hook:
    """A command for `sh -c`. With `is_quiet` its output goes nowhere: who reads events from stderr wants no prose."""

    command: str
    environ: Mapping[str, str]
    is_quiet: bool = False
    patience: float = PATIENCE
    _alone: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, command: str | None, environ: Mapping[str, str], *, is_quiet: bool = False) -> Hook | None:
        """The hook of a run; None without a command. Raises UsageError for an empty one.

        `environ` is what the command may see, to which the variables of a flip are added.
        """
        if command is None:
            return None
        if not command.strip():
            raise UsageError("--on-change: the command is empty")
        return cls(command, environ, is_quiet)

    def watching(self, emit: Emit, stop: threading.Event) -> Emit:
        """An `Emit` that passes everything on, and runs the command at each flip, in the thread that reports it."""

        def take(event: Event) -> None:
            emit(event)
            if isinstance(event, Flipped) and (failure := self.run(event, stop)):
                emit(Notice("hook-failed", f"--on-change for {event.model}: {failure}"))

        return take

    def run(self, flip: Flipped, stop: threading.Event) -> str | None:
        """Run it; None when it ended well, else what became of it."""
        values = (flip.model, str(flip.snapshot), flip.old or "", flip.new, flip.version or "")
        told = dict(zip(TOLD, values, strict=True))
        # stdout is for our own result.
        out = subprocess.DEVNULL if self.is_quiet else sys.stderr.fileno()
        with self._alone:
            if stop.is_set():
                return "not run, since the run is being stopped"
            try:
                process = subprocess.Popen(
                    ["/bin/sh", "-c", self.command],
                    env={**self.environ, **told},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                return f"it cannot be run: {error}"
            return self._await(process, stop)

    def _await(self, process: subprocess.Popen[bytes], stop: threading.Event) -> str | None:
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return _ending(process.wait(_STEP))
            if stop.is_set():
                deadline = min(deadline, time.monotonic() + GRACE)
                break
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return _ending(process.wait(_STEP))
        for number in (signal.SIGTERM, KILL):
            # The whole group: a shell that ends does not take along what it started.
            with contextlib.suppress(ProcessLookupError):
                signal_group(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
                break
        return "ended, since the run is being stopped" if stop.is_set() else f"ended after {self.patience:g} s"


def _ending(code: int) -> str | None:
    if code < 0:
        return f"it was ended by signal {-code}"
    return f"it ended with exit code {code}" if code else None
