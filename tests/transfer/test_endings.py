"""Ends of spans, with jobs of plain values and no daemon."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin
from orchestrator.errors import IntegrityError, SourcesDownError
from orchestrator.transfer.active import Slot, Slots
from orchestrator.transfer.couriers import Errand
from orchestrator.transfer.endings import Endings
from orchestrator.transfer.interface import Lost, TakenBack, TransferEvent
from orchestrator.transfer.jobs import JobEvent
from orchestrator.transfer.pace.servers import Server
from orchestrator.transfer.supply import Supply

SIZE = 1000
JOB = Job(
    Digest(Algorithm.SHA256, "1" * 64), SIZE, True, (Origin(RepoId(RepoType.MODEL, "org/m"), "1" * 40, "a.json"),)
)


@pytest.mark.parametrize("has_ended", [False, True])
def test_bytes_are_taken_back_of_a_job_that_is_under_way_only(tmp_path: Path, has_ended: bool) -> None:
    """Its asker may have heard that it was lost, and have asked again by then."""
    told: list[TransferEvent] = []
    slots, slot = Slots(), Slot(JOB, tmp_path / "part")
    slots.add(slot)
    for event in (JobEvent.START, JobEvent.LOCATED):
        slots.on(slot, event)
    slot.supplies["hub"] = Supply(Server("hub", 1, 1), is_carried=True)
    span = slot.open_errand("hub", 0.0)
    nothing: Any = SimpleNamespace(all=lambda: [], returned=lambda *_: None)
    endings = Endings(slots, nothing, nothing, told.append)
    if has_ended:
        endings.give_up(slot, SourcesDownError("hub does not answer"))
    wrong = IntegrityError("it sent more than is listed")
    endings.returned(slot, span, Errand(JOB, "hub", slot.part, 0, SIZE, is_done=True, error=wrong))
    assert [type(event) for event in told] == [Lost if has_ended else TakenBack]
    assert span.position == 0
