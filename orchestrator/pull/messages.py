"""Messages of a run's inbox: all that the thread which drives it waits for. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.plan import Job
from orchestrator.core.sources import Sent
from orchestrator.errors import GlmAriaError, IntegrityError
from orchestrator.proof.verified import VerifiedFile
from orchestrator.pull.model_run import ModelRun
from orchestrator.transfer.interface import Already, Fetched, Lost, TransferEvent


@dataclass(frozen=True, slots=True)
class Proven:
    """A job's blob is verified and still staged; `sent` are the bytes that each source sent in this run."""

    job: Job
    file: VerifiedFile
    sent: Sent


@dataclass(frozen=True, slots=True)
class Wrong:
    """The bytes that were fetched do not have their digest."""

    fetched: Fetched
    error: IntegrityError


@dataclass(frozen=True, slots=True)
class Again:
    """Wrong bytes are discarded: fetch the missing ones now."""

    job: Job


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


Ended = Proven | Already | Lost
"""How a job ends."""

Message = TransferEvent | Proven | Wrong | Again | Batch | Published
