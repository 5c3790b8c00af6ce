"""The life of a job in the transfer, as one table that can be checked by eye.

    WAITING  --start-->    LOCATING   links are being resolved
    LOCATING --located-->  ACTIVE     aria2 has it
    LOCATING, ACTIVE --complete--> FETCHED    all bytes are in the part, unproven
    WAITING, LOCATING, ACTIVE --give up--> LOST    no source is left, or the disk fails
    WAITING  --already-->  FETCHED    another run fetched it meanwhile
    WAITING, LOCATING, ACTIVE --pause--> PAUSED    nobody wants more of it now; what arrived is journalled

FETCHED, LOST and PAUSED are the ends: no event leads out of them.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """The state of a job."""

    WAITING = "waiting"
    LOCATING = "locating"
    ACTIVE = "active"
    FETCHED = "fetched"
    LOST = "lost"
    PAUSED = "paused"


class JobEvent(StrEnum):
    """The events of a job."""

    START = "start"
    LOCATED = "located"
    COMPLETE = "complete"
    GIVE_UP = "give up"
    ALREADY = "already"
    PAUSE = "pause"


ENDS = (JobState.FETCHED, JobState.LOST, JobState.PAUSED)


TRANSITIONS: dict[tuple[JobState, JobEvent], JobState] = {
    (JobState.WAITING, JobEvent.START): JobState.LOCATING,
    (JobState.WAITING, JobEvent.ALREADY): JobState.FETCHED,
    (JobState.WAITING, JobEvent.PAUSE): JobState.PAUSED,
    (JobState.WAITING, JobEvent.GIVE_UP): JobState.LOST,
    (JobState.LOCATING, JobEvent.LOCATED): JobState.ACTIVE,
    (JobState.LOCATING, JobEvent.COMPLETE): JobState.FETCHED,
    (JobState.LOCATING, JobEvent.GIVE_UP): JobState.LOST,
    (JobState.LOCATING, JobEvent.PAUSE): JobState.PAUSED,
    (JobState.ACTIVE, JobEvent.COMPLETE): JobState.FETCHED,
    (JobState.ACTIVE, JobEvent.GIVE_UP): JobState.LOST,
    (JobState.ACTIVE, JobEvent.PAUSE): JobState.PAUSED,
}
