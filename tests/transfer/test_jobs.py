"""The life of a job: the table against the drawing in its docstring, and no way out of an end."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.transfer import feeder, jobs
from orchestrator.transfer.jobs import ENDS, TRANSITIONS, JobEvent, JobState


def drawn() -> dict[tuple[JobState, JobEvent], JobState]:
    found = {}
    for states, event, after in re.findall(r"^    ([A-Z, ]+?) +--([a-z ]+?)-+> +([A-Z]+)", jobs.__doc__ or "", re.M):
        for state in states.split(","):
            found[JobState[state.strip()], JobEvent(event.strip())] = JobState[after]
    return found


def test_the_table_is_the_drawing() -> None:
    assert drawn() == TRANSITIONS


def test_no_event_leads_out_of_an_end() -> None:
    assert not {state for state, _ in TRANSITIONS} & set(ENDS)


def test_every_state_can_be_reached_and_every_job_can_be_given_up() -> None:
    reached, frontier = {JobState.WAITING}, {JobState.WAITING}
    while frontier:
        frontier = {after for (state, _), after in TRANSITIONS.items() if state in frontier} - reached
        reached |= frontier
    assert reached == set(JobState)
    for state in set(JobState) - set(ENDS):
        assert TRANSITIONS[state, JobEvent.GIVE_UP] is JobState.LOST


def test_every_event_means_something() -> None:
    assert {event for _, event in TRANSITIONS} == set(JobEvent)


def test_every_event_is_reported_somewhere_in_the_transfer() -> None:
    room = Path(feeder.__file__).parent
    source = "".join(path.read_text("utf-8") for path in room.glob("*.py"))
    assert {event for event in JobEvent if f"JobEvent.{event.name}" not in source} == set()
