"""Messages of a run's inbox: those of its depot, and what became of what it placed and published."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.plan import Job
from orchestrator.depot.messages import DepotMessage
from orchestrator.errors import GlmAriaError
from orchestrator.pulling.model_run import ModelRun


@dataclass(frozen=True, slots=True)
class Batch:
    """The outcome of a batch: the placed jobs, and the reasons why placing failed for some of the models."""

    jobs: tuple[Job, ...]
    errors: dict[ModelRun, GlmAriaError]


@dataclass(frozen=True, slots=True)
class Published:
    """The model is published, or why that failed."""

    run: ModelRun
    error: GlmAriaError | None = None


Message = DepotMessage | Batch | Published
