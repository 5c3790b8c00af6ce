"""The note of a pull while it goes on, and its entry in the history once it has ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.app.compose import known_state, state_of
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit
from orchestrator.pulling.report import PullReport
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.runs.run_note import AskedRun


def pull_noted(settings: Settings, asked: AskedRun, emit: Emit, pull: Callable[[Emit], PullReport]) -> PullReport:
    """Pull, and keep the note of it. Raises what `pull` does, and `RunStore.begin` where a run is resumed."""
    from orchestrator.runs.recorder import noted
    from orchestrator.runs.store import RunStore

    with noted(RunStore(known_state(settings, create=True)), asked, emit) as recorder:
        if recorder is None:
            return pull(emit)
        report = pull(recorder.take)
        recorder.end(report)
        return report


def note_history(settings: Settings, report: PullReport) -> None:
    """Add a pull to the history. A pull that is done is not failed by a history that cannot be written."""
    from orchestrator.doctor.history import entries_of

    is_held = settings.max_speed is not None or settings.polite
    if entries := entries_of(report, time.time(), is_held=is_held):
        from orchestrator.doctor.history import History

        with contextlib.suppress(GlmAriaError):
            History(state_of(settings)).add(entries)
