"""An observer of a run that keeps its note: every second, and where the disk is slow every ten at least.

A run is never failed by a note that cannot be written. What is lost of it by a kill is a second of progress.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

from orchestrator.core.files import Digest
from orchestrator.core.text import redacted
from orchestrator.errors import (
    ConfigError,
    GlmAriaError,
    Interrupted,
    NotFoundError,
    UnsafeError,
    UsageError,
)
from orchestrator.events import Emit, Event, FileProgress, ModelPhase, ModelPlanned, Phase, Queued, SourceRates
from orchestrator.pulling.report import ModelReport, PullReport
from orchestrator.runs.run_note import AskedRun, ModelStep, NotedModel, RunNote
from orchestrator.runs.store import RunStore

_PERIOD = 1.0
_SHARE = 100
"""A note takes at most a hundredth of the time,"""
_LONGEST = 10.0
"""unless that means less than one in so many seconds: other hosts would believe that the run has ended."""
_ARRIVED = (Phase.VERIFYING, Phase.PLACING, Phase.DONE)
_HOPELESS = (UsageError, ConfigError, NotFoundError, UnsafeError)
"""Errors that the same request meets again."""


@dataclass(slots=True, eq=False)
class _Progress:
    """A model: its entry, and once it `is_planned` the blobs that it lacked then, with their sizes."""

    entry: NotedModel
    missing: dict[Digest, int] = field(default_factory=dict)
    is_planned: bool = False


class RunRecorder:
    """The observer of one run. `take` is its `Emit`; threads may share it."""

    def __init__(self, notes: RunStore, number: int, note: RunNote, emit: Emit) -> None:
        self._notes, self._number, self._note, self._emit = notes, number, note, emit
        self._models = [_Progress(model) for model in note.models]
        # Those that this run works on, in the order of its request.
        self._open = [one for one in self._models if one.entry.step is not ModelStep.DONE]
        self._by_ref: dict[str, list[_Progress]] = {}
        for one in self._open:
            self._by_ref.setdefault(one.entry.ref, []).append(one)
        self._done: dict[str, int] = {}
        self._sizes: dict[Digest, int] = {}
        self._arrived: dict[Digest, int] = {}
        self._rate = 0.0
        self._due = 0.0
        self._guard = threading.Lock()

    def take(self, event: Event) -> None:
        """Pass an event on, and note what it tells."""
        self._emit(event)
        with self._guard:
            self._observe(event)
            if time.monotonic() >= self._due:
                self._save()

    def end(self, report: PullReport) -> None:
        """Note the end: nothing is left of a run that is done, or that no other try could bring further."""
        with self._guard, contextlib.suppress(GlmAriaError):
            for one, model in zip(self._open, report.models, strict=False):
                one.entry = _ended(one.entry, model)
            failures = [error for model in report.models if (error := model.failure()) is not None]
            if all(isinstance(error, _HOPELESS) for error in failures):
                self._notes.remove(self._number)
            else:
                self._note, self._rate = replace(self._note, pid=0), 0.0
                self._save()
            self._notes.supersede(self._number, self._note.items)

    def drop(self) -> None:
        """Drop the note of a run that did not begin."""
        with contextlib.suppress(GlmAriaError):
            self._notes.remove(self._number)

    def _observe(self, event: Event) -> None:
        match event:
            case ModelPlanned():
                self._planned(event)
            case FileProgress(digest=digest, phase=phase, done=done, total=total):
                self._arrived[digest] = _arrived(phase, done, total, self._arrived.get(digest, 0))
            case SourceRates(sources):
                self._rate = sum(speed for _, speed, _ in sources)
            case ModelPhase(model, Phase.DONE):
                # A model may be asked for twice, with other files: one event does not tell which of them it is.
                self._done[model] = self._done.get(model, 0) + 1
                named = self._by_ref.get(model, [])
                if self._done[model] == len(named):
                    for one in named:
                        one.entry = replace(one.entry, step=ModelStep.DONE)
            case Queued():
                with contextlib.suppress(GlmAriaError):
                    self._notes.supersede(self._number, self._note.items)
                self._due = 0.0
            case _:
                pass

    def _planned(self, event: ModelPlanned) -> None:
        one = next((one for one in self._by_ref.get(event.model, ()) if not one.is_planned), None)
        if one is not None:
            one.entry = replace(one.entry, size=sum(event.blobs.values()))
            one.missing, one.is_planned = dict(event.missing), True
            self._sizes.update(event.blobs)

    def _save(self) -> None:
        began = time.monotonic()
        # A blob that several models lack comes once.
        missing = {digest: size for one in self._open if _is_left(one) for digest, size in one.missing.items()}
        others = [one.entry for one in self._models if not one.is_planned]
        note = replace(
            self._note,
            models=tuple(map(self._entry, self._models)),
            size=sum(self._sizes.values()) + sum(entry.size or 0 for entry in others),
            left=self._left_of(missing) + sum(entry.left or 0 for entry in others),
            rate=self._rate,
            at=time.time(),
        )
        with contextlib.suppress(GlmAriaError):
            self._notes.save(self._number, asdict(note))
        now = time.monotonic()
        self._due = now + pause_after(now - began)

    def _entry(self, one: _Progress) -> NotedModel:
        if not one.is_planned:
            return one.entry
        return replace(one.entry, left=self._left_of(one.missing) if _is_left(one) else 0)

    def _left_of(self, missing: dict[Digest, int]) -> int:
        return sum(max(0, size - self._arrived.get(digest, 0)) for digest, size in missing.items())


def _arrived(phase: Phase, done: int, total: int, before: int) -> int:
    """The bytes of a file that the next run need not fetch."""
    if phase is Phase.FAILED:
        # A part stays for the next run; what was whole and failed was no good.
        return before if before < total else 0
    return total if phase in _ARRIVED else done if phase is Phase.FETCHING else 0


@contextlib.contextmanager
def noted(notes: RunStore, asked: AskedRun, emit: Emit) -> Iterator[RunRecorder | None]:
    """Keep the note of a run while the context lasts; None where it cannot be noted.

    A run that is refused for how it was asked for leaves none. Raises as `RunStore.begin` where a run is taken up.
    """
    try:
        number, note = notes.begin(asked, time.time())
    except GlmAriaError:
        if asked.number:
            raise
        yield None
        return
    recorder = RunRecorder(notes, number, note, emit)
    try:
        yield recorder
    except (UsageError, ConfigError):
        if not asked.number:
            recorder.drop()
        raise


def pause_after(cost: float) -> float:
    """Seconds until the next note, after one that took so many."""
    return min(max(_PERIOD, _SHARE * cost), _LONGEST)


def _is_left(one: _Progress) -> bool:
    return one.entry.step is not ModelStep.DONE


def _ended(entry: NotedModel, report: ModelReport) -> NotedModel:
    error = report.failure()
    if error is None:
        return replace(entry, step=ModelStep.DONE, left=0)
    if isinstance(error, Interrupted):
        return entry
    return replace(entry, step=ModelStep.FAILED, error=redacted(error.message))
