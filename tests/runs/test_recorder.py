"""The note of a run follows its events."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import parse_ref
from orchestrator.errors import NotFoundError, SourcesDownError, TemporaryError, UsageError
from orchestrator.events import Event, FileProgress, ModelPhase, ModelPlanned, Phase, Queued, SourceRates
from orchestrator.lists.request import Item
from orchestrator.pulling.report import ModelReport, PullReport
from orchestrator.runs.recorder import RunRecorder, noted, pause_after
from orchestrator.runs.run_note import AskedRun, KnownRun, ModelStep, NotedOption
from orchestrator.runs.store import PATIENCE, RunStore

A, B, C = (Digest(Algorithm.SHA256, letter * 64) for letter in "abc")
CACHE = Path("/cache")


@pytest.fixture
def notes(tmp_path: Path) -> RunStore:
    (tmp_path / "stage").mkdir()
    return RunStore(tmp_path)


def asked(*refs: str, number: int | None = None) -> AskedRun:
    return AskedRun(tuple(Item(parse_ref(ref)) for ref in refs), (NotedOption("--jobs", ("2",)),), number=number)


def begun(notes: RunStore, *refs: str, number: int | None = None) -> tuple[RunRecorder, list[Event]]:
    """A run whose process is none that lives, as after a kill."""
    seen: list[Event] = []
    number, note = notes.begin(asked(*refs, number=number), 1.0)
    return RunRecorder(notes, number, replace(note, pid=0), seen.append), seen


def take(recorder: RunRecorder, *events: Event) -> None:
    for event in (*events, Queued(1, 1)):  # at which it is written at once
        recorder.take(event)


def only(notes: RunStore) -> KnownRun:
    (run,) = notes.known()
    return run


def test_a_blob_that_two_models_lack_counts_once(notes: RunStore) -> None:
    recorder, seen = begun(notes, "org/one", "org/two")
    assert only(notes).note.models[0].left is None
    take(
        recorder,
        ModelPlanned("org/one@main", {A: 100, B: 10}, {A: 100}),
        ModelPlanned("org/two@main", {A: 100, C: 5}, {A: 100, C: 5}),
        FileProgress(A, "a", Phase.FETCHING, 40, 100),
        SourceRates((("near", 7.0, 1), ("far", 1.0, 1))),
    )
    note = only(notes).note
    assert (note.size, note.left, note.rate) == (115, 65, 8.0)
    assert [(model.size, model.left) for model in note.models] == [(110, 60), (105, 65)]
    assert len(seen) == 5
    take(recorder, FileProgress(A, "a", Phase.DONE, 100, 100), ModelPhase("org/one@main", Phase.DONE))
    assert [model.step for model in only(notes).note.models] == [ModelStep.DONE, ModelStep.LEFT]
    assert [item.ref for item in only(notes).items()] == ["org/two@main"]
    take(recorder, FileProgress(C, "c", Phase.FAILED, 0, 5))
    assert only(notes).note.left == 5


@pytest.mark.parametrize(
    ("before", "left"), [((Phase.FETCHING, 40), 60), ((Phase.VERIFYING, 100), 100), ((Phase.WAITING, 0), 100)]
)
def test_a_part_of_a_file_that_fails_is_not_left(notes: RunStore, before: tuple[Phase, int], left: int) -> None:
    recorder, _ = begun(notes, "org/one")
    phase, done = before
    take(recorder, ModelPlanned("org/one@main", {A: 100}, {A: 100}), FileProgress(A, "a", phase, done, 100))
    take(recorder, FileProgress(A, "a", Phase.FAILED, 0, 100))
    assert only(notes).note.left == left


def test_a_model_that_is_asked_for_twice_is_done_when_both_are(notes: RunStore) -> None:
    number, note = notes.begin(
        AskedRun((Item(parse_ref("org/m"), ("*.json",)), Item(parse_ref("org/m"), ("*.bin",)))), 1.0
    )
    recorder = RunRecorder(notes, number, replace(note, pid=0), lambda event: None)
    take(recorder, ModelPhase("org/m@main", Phase.DONE))
    assert only(notes).models_left == 2
    take(recorder, ModelPhase("org/m@main", Phase.DONE))
    assert notes.known() == ()


def test_a_slow_disk_is_spared_but_other_hosts_still_see_the_run_going_on() -> None:
    assert [pause_after(cost) for cost in (0.0, 0.05)] == [1, 5]
    assert pause_after(5.0) < PATIENCE / 3


def test_a_run_that_is_done_or_cannot_be_leaves_nothing(notes: RunStore) -> None:
    for error, is_left in ((None, 0), (NotFoundError("no"), 0), (SourcesDownError("down"), 1)):
        recorder, _ = begun(notes, "org/m")
        recorder.end(PullReport((ModelReport("org/m@main", error=error),)))
        assert len(notes.known()) == is_left
    assert only(notes).note.models[0].error == "down"


def test_a_resumed_run_keeps_what_was_done(notes: RunStore) -> None:
    recorder, _ = begun(notes, "org/one", "org/two")
    take(recorder, ModelPlanned("org/one@main", {A: 9}, {}), ModelPhase("org/one@main", Phase.DONE))
    number = only(notes).number
    again, _ = begun(notes, "org/two", number=number)
    assert [model.step for model in only(notes).note.models] == [ModelStep.DONE, ModelStep.LEFT]
    take(again, ModelPlanned("org/two@main", {C: 5}, {C: 5}))
    assert (only(notes).note.size, only(notes).note.left) == (14, 5)
    again.end(PullReport((ModelReport("org/two@main"),)))
    assert notes.known() == ()
    with pytest.raises(NotFoundError):
        notes.begin(asked("org/two", number=number), 1.0)


def test_a_note_that_others_could_write_is_passed_over(notes: RunStore, tmp_path: Path) -> None:
    take(begun(notes, "org/one")[0])
    assert notes.known()
    (tmp_path / "runs" / "1.json").chmod(0o666)
    assert notes.known() == ()
    with pytest.raises(NotFoundError):
        notes.resumable(1, CACHE)


def test_the_newest_is_resumed_and_none_that_goes_on(notes: RunStore) -> None:
    with pytest.raises(NotFoundError):
        notes.resumable(None, CACHE)
    take(begun(notes, "org/one")[0])
    number, _ = notes.begin(asked("org/two"), 2.0)  # by this very process
    assert notes.resumable(None, CACHE).note.items[0].ref == "org/one@main"
    with pytest.raises(TemporaryError):
        notes.resumable(number, CACHE)
    with pytest.raises(NotFoundError):
        notes.resumable(99, CACHE)


def test_where_the_only_run_goes_on_it_is_named(notes: RunStore) -> None:
    notes.begin(asked("org/two"), 2.0)  # by this very process
    with pytest.raises(TemporaryError, match=f"process {os.getpid()} "):
        notes.resumable(None, CACHE)


def test_a_run_that_asks_for_more_takes_the_place_of_a_stopped_one(notes: RunStore) -> None:
    take(begun(notes, "org/one", "org/two")[0])
    take(begun(notes, "org/one")[0])
    assert [len(run.note.items) for run in notes.known()] == [2, 1]
    take(begun(notes, "org/two", "org/three", "org/one")[0])
    assert [len(run.note.items) for run in notes.known()] == [3]


def test_a_request_that_is_refused_leaves_none(notes: RunStore) -> None:
    def refused() -> None:
        with noted(notes, asked("org/m"), lambda event: None):
            raise UsageError("no")

    with pytest.raises(UsageError):
        refused()
    assert notes.known() == ()


def test_where_nothing_can_be_written_a_run_is_not_noted() -> None:
    with noted(RunStore(Path("/dev/null/state")), asked("org/m"), lambda event: None) as recorder:
        assert recorder is None
