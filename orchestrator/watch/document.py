"""The state of watches, as the data of the JSON document of `watch`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from orchestrator.core.text import redacted
from orchestrator.documents import Amount, Count
from orchestrator.watch.state import ModelState, WatchState


@dataclass(frozen=True, slots=True)
class WatchedModel:
    """A model of a list. `last_success` and `next` are unix seconds; `version` is a registry's name of the commit."""

    ref: str
    state: str
    version: str | None
    commit: str | None
    snapshot: str | None
    failures: Count
    error: Mapping[str, str | None] | None
    last_success: Amount | None
    next: Amount | None

    @classmethod
    def of(cls, model: ModelState) -> Self:
        """The entry of a model's state."""
        error = model.error and {key: text and redacted(text) for key, text in model.error.items()}
        return cls(
            model.ref,
            model.state,
            model.version,
            model.commit,
            model.snapshot,
            model.failures,
            error,
            model.last_success,
            model.next,
        )


@dataclass(frozen=True, slots=True)
class WatchedList:
    """A list; `interval` is seconds, `pid` and `host` are those of the watcher while it runs."""

    list: str
    running: bool
    pid: int | None
    host: str | None
    interval: Amount
    error: str | None
    files: tuple[str, ...]
    pins: tuple[str, ...]
    models: tuple[WatchedModel, ...]

    @classmethod
    def of(cls, state: WatchState) -> Self:
        """The entry of a watch."""
        return cls(
            list=state.path,
            running=state.is_running,
            pid=state.pid if state.is_running else None,
            host=state.host if state.is_running else None,
            interval=state.interval,
            error=redacted(state.error) if state.error else None,
            files=state.files,
            pins=state.pins,
            models=tuple(map(WatchedModel.of, state.models)),
        )


@dataclass(frozen=True, slots=True)
class WatchDocument:
    """The data of `watch`."""

    watches: tuple[WatchedList, ...]

    @classmethod
    def of(cls, states: Iterable[WatchState]) -> Self:
        """The data of the lists that are, or were, watched."""
        return cls(tuple(map(WatchedList.of, states)))
