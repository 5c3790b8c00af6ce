"""Messages of a depot's inbox: all that the thread which drives it waits for. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.plan import Job
from orchestrator.core.sources import Sent
from orchestrator.errors import IntegrityError
from orchestrator.proof.verified import VerifiedFile
from orchestrator.transfer.interface import Already, Fetched, Lost, TransferEvent


@dataclass(frozen=True, slots=True)
class Wish:
    """A change of who wants a job, or what of it."""

    job: Job


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


Ended = Proven | Already | Lost
"""How a job ends."""

DepotMessage = TransferEvent | Wish | Proven | Wrong | Again
