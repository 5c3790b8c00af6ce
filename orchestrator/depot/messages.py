"""Messages of a depot's inbox: all that the thread which drives it waits for. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.aria2.endpoint import Remark
from orchestrator.core.extents import Ranges
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Sent
from orchestrator.errors import IntegrityError
from orchestrator.events import Notice, SourceRates
from orchestrator.proof.verified import VerifiedFile
from orchestrator.transfer.interface import Already, Fetched, Lost, Pace, Rangeless, TransferEvent


@dataclass(frozen=True, slots=True)
class Wish:
    """A change of who wants a job, or what of it."""

    job: Job


@dataclass(frozen=True, slots=True)
class Drop:
    """Bytes of a job that are wrong, by who looked at them in this `epoch`; None for whenever."""

    digest: Digest
    ranges: Ranges
    epoch: int | None


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

DepotMessage = TransferEvent | Wish | Drop | Proven | Wrong | Again


def event_of(told: Pace | Remark | Rangeless) -> Notice | SourceRates:
    """The event that observers of the run hear of it."""
    match told:
        case Pace():
            return SourceRates(told.sources, told.sent)
        case Remark():
            return Notice(told.code, told.message)
        case Rangeless():
            text = f"{told.source}: {told.words}; its files come whole, over one connection each"
            return Notice("no-range", text, mirror=told.source)
