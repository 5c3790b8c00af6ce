"""Runs that go on and runs that were stopped, as the data of the JSON document of `status`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

from orchestrator.core.text import redacted
from orchestrator.documents import Amount, Count
from orchestrator.runs.run_note import KnownRun, ModelStep, NotedModel


@dataclass(frozen=True, slots=True)
class RunModel:
    """A model of a run; the bytes are null until it is planned. `error` says why it failed."""

    ref: str
    state: ModelStep
    bytes_total: Count | None
    bytes_left: Count | None
    error: str | None

    @classmethod
    def of(cls, model: NotedModel) -> Self:
        """The entry of a noted model."""
        return cls(model.ref, model.step, model.size, model.left, redacted(model.error) if model.error else None)


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run. `since` is when it began or was resumed, `noted` when its bytes were counted last: unix seconds.

    `bytes_per_second`, `pid` and `host` are those of a run that goes on. `options` are what it was asked for besides
    its models; those of `options_not_kept` have to be given again.
    """

    id: Count
    state: Literal["running", "stopped"]
    since: Amount
    noted: Amount
    pid: int | None
    host: str | None
    models_total: Count
    models_left: Count
    bytes_total: Count
    bytes_left: Count
    bytes_per_second: Amount | None
    options: tuple[str, ...]
    options_not_kept: tuple[str, ...]
    models: tuple[RunModel, ...]

    @classmethod
    def of(cls, run: KnownRun) -> Self:
        """The entry of a known run."""
        note, is_running = run.note, run.is_running
        return cls(
            id=run.number,
            state="running" if is_running else "stopped",
            since=note.since,
            noted=note.at,
            pid=note.pid if is_running else None,
            host=note.host if is_running else None,
            models_total=len(note.models),
            models_left=run.models_left,
            bytes_total=note.size,
            bytes_left=note.left,
            bytes_per_second=note.rate if is_running else None,
            options=tuple(word for option in note.options for word in option.words),
            options_not_kept=note.withheld,
            models=tuple(map(RunModel.of, note.models)),
        )


@dataclass(frozen=True, slots=True)
class StatusDocument:
    """The data of `status`: the oldest run first."""

    runs: tuple[RunEntry, ...]

    @classmethod
    def of(cls, runs: Iterable[KnownRun]) -> Self:
        """The data of the known runs."""
        return cls(tuple(map(RunEntry.of, runs)))
