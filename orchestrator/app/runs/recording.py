"""The note of a pull while it goes on, and its entries in the history and in the log of demand once it has ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.app.compose import known_state, state_of
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit
from orchestrator.pulling.report import FileState, ModelReport, PullReport
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.runs.run_note import AskedRun


def pull_noted(
    settings: Settings, asked: AskedRun | None, emit: Emit, pull: Callable[[Emit], PullReport]
) -> PullReport:
    """Pull, and note what was wanted; `asked`, where it is given, is noted while the pull goes on.

    Raises what `pull` does, and `RunStore.begin` where a run is resumed.
    """
    report = pull(emit) if asked is None else _pull_asked(settings, asked, emit, pull)
    _note_demand(settings, report)
    return report


def _pull_asked(settings: Settings, asked: AskedRun, emit: Emit, pull: Callable[[Emit], PullReport]) -> PullReport:
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


def _note_demand(settings: Settings, report: PullReport) -> None:
    """Add what was wanted to the log of demand, also where all of it was here.

    A wish that was not fulfilled is not noted: it comes again. A pull that is done is not failed by a log that cannot
    be written.
    """
    from orchestrator.predict.demand import Demand
    from orchestrator.predict.log import DemandLog

    def demand(model: ModelReport) -> Demand:
        came = model.bytes_of(FileState.FETCHED)
        size = came + model.bytes_of(FileState.ALREADY, FileState.LINKED)
        return Demand(now, model.ref, size, came, model.seconds, dict(model.sent))

    now = time.time()
    if fulfilled := [demand(model) for model in report.models if model.files and model.failure() is None]:
        with contextlib.suppress(GlmAriaError):
            DemandLog(known_state(settings, create=True)).add(fulfilled)
