"""The end of a pull as others hear about it: the JSON body of a webhook, and a text for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from orchestrator.core.sizes import format_duration, format_size
from orchestrator.core.text import counted, redacted
from orchestrator.documents import SCHEMA, Amount, Count, ErrorEntry, Outcome, Status
from orchestrator.platform.host import host_name
from orchestrator.pulling.report import FileState, ModelReport

_MOST_ERRORS = 5
"""Errors that a text for people has; the body of a webhook has all."""


@dataclass(frozen=True, slots=True)
class EndedModel:
    """A model; bytes are those of its distinct files. `error` is the code of why it is not done."""

    ref: str
    commit: str | None
    done: bool
    bytes_total: Count
    bytes_fetched: Count
    seconds: Amount
    error: str | None

    @classmethod
    def of(cls, model: ModelReport) -> Self:
        """The entry of a model's report."""
        error = model.failure()
        return cls(
            str(model.ref),
            model.commit,
            error is None,
            model.bytes_of(*FileState),
            model.bytes_of(FileState.FETCHED),
            round(model.seconds, 3),
            error.code if error else None,
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a pull, or of a round of `watch`. `host` is this machine; `text` says it in a few lines."""

    schema: str
    event: Literal["end"]
    command: str
    host: str
    status: Status
    exit_code: int
    text: str
    models: tuple[EndedModel, ...]
    bytes_total: Count
    bytes_fetched: Count
    seconds: Amount
    errors: tuple[ErrorEntry, ...]

    @classmethod
    def of(cls, command: str, reports: Sequence[ModelReport], outcome: Outcome, seconds: float) -> Self:
        """The end of a run with these reports; `seconds` is how long it took."""
        host = host_name()
        models = tuple(map(EndedModel.of, reports))
        fetched = sum(model.bytes_fetched for model in models)
        errors = tuple(map(ErrorEntry.of, outcome.errors))
        done = sum(model.done for model in models)
        lines = [
            f"{host}: glm-aria {command}: {outcome.status}, {done} of {counted(len(models), 'model')} done, "
            f"{format_size(fetched)} fetched in {format_duration(seconds)}"
        ]
        lines += [f"error: {message}" for message in list(dict.fromkeys(one.message for one in errors))[:_MOST_ERRORS]]
        return cls(
            SCHEMA,
            "end",
            command,
            host,
            outcome.status,
            outcome.exit_code,
            "\n".join(map(redacted, lines)),
            models,
            sum(model.bytes_total for model in models),
            fetched,
            round(seconds, 3),
            errors,
        )
