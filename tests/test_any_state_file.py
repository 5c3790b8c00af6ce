"""Every small file of the state folder, after whatever happened to it: it counts as absent, and never raises.

Those of the cache itself are in tests/cache/test_state_files.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.network.resolvers import NameServer, Standing
from orchestrator.core.refs import parse_ref
from orchestrator.core.sources import Source
from orchestrator.doctor.history import History, Past
from orchestrator.lists.request import Item
from orchestrator.mirrors.stats import Evidence, Observation, SourceStats
from orchestrator.net.lookup.resolver_health import keep_standings, read_standings
from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import Forecast
from orchestrator.predict.log import DemandLog
from orchestrator.predict.score import Ratio, Score
from orchestrator.predict.trained import Trained, TrainedFile
from orchestrator.runs.document import StatusDocument
from orchestrator.runs.run_note import AskedRun, ModelStep, NotedModel, NotedOption
from orchestrator.runs.store import RunStore
from orchestrator.serve.foresight.guesses import Guess, GuessFile
from orchestrator.watch.state import ModelState, WatchFile, WatchState, watched
from tests.cache.test_state_files import mangled

SOURCE = Source("near", "https://near.example/hf")
PAST = Past(1.0, "org/m@main", 10, 2.0, {"near": 10})


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Kept:
    """A file by its name: how it is written, and what is read of it, as values that must be sane."""

    name: str
    write: Callable[[Path], None]
    read: Callable[[Path], Iterable[bool]]


def _write_sources(state: Path) -> None:
    memory = SourceStats(state, now=lambda: 1.0)
    memory.observe({SOURCE: (Observation(0.1, 1e6, rates=((1, 1e6), (8, 1e7))), Observation(None, 1e7, 8))})
    memory.quarantine(SOURCE, "lied", Evidence("a", "b", "c", 0, 9))


def _read_sources(state: Path) -> Iterable[bool]:
    memory = SourceStats(state, now=lambda: 1.0).read()
    for known in memory.entries.values():
        yield is_number(known.failures_at(2.0))
        yield is_number(known.confidence(2.0))
        yield known.rate is None or is_number(known.rate)
        yield known.quarantine is None or isinstance(known.quarantine.reason, str)
        yield all(isinstance(count, int) and is_number(rate) for count, rate in known.rates)


def _read_resolvers(state: Path) -> Iterable[bool]:
    return (is_number(standing.expected(2.0)) for standing in read_standings(state).values())


def _write_old_rates(state: Path) -> None:
    SourceStats(state, now=lambda: 1.0).observe({SOURCE: (Observation(0.1, 1e6),)})
    (state / "doctor.json").write_text(json.dumps({"version": 1, "rates": {"near": [[1, 1e6], [16, 1e7]]}}))


def _read_history(state: Path) -> Iterable[bool]:
    for past in History(state).read():
        yield is_number(past.at)
        yield past.rate is None or is_number(past.rate)
        yield all(isinstance(count, int) for count in past.sources.values())


def _write_demand(state: Path) -> None:
    DemandLog(state).add([Demand(1.0, "org/m@main", 10, 10, 2.0, {"near": 10})])


def _read_demand(state: Path) -> Iterable[bool]:
    for demand in DemandLog(state).read():
        yield isinstance(demand.model, str)
        yield all(is_number(value) and value >= 0 for value in (demand.at, demand.size, demand.came, demand.waited))
        yield all(isinstance(count, int) for count in demand.sources.values())


def _write_trained(state: Path) -> None:
    score = Score("ridge", Ratio(0.5, 0.4, 0.6), Ratio(0.7, 0.6, math.inf))
    forecast = Forecast(3600.0, {"org/m@main": (1.0, 0.5)}, "ridge", True)
    TrainedFile(state).save(Trained(forecast, (score,), 1000, 50, "it beats the naive one"))


def _read_trained(state: Path) -> Iterable[bool]:
    if (trained := TrainedFile(state).read()) is not None:
        forecast = trained.forecast
        yield is_number(forecast.start)
        yield isinstance(forecast.is_used, bool)
        yield all(isinstance(text, str) for text in (forecast.by, trained.reason, *forecast.pulls))
        yield all(is_number(count) and count >= 0 for hours in forecast.pulls.values() for count in hours)
        yield all(isinstance(score.is_open, bool) for score in trained.scores)


def _write_guesses(state: Path) -> None:
    GuessFile(state).write((Guess(1.0, "org/m@main", "models--org--m", "c" * 40, 10, True),))


def _read_guesses(state: Path) -> Iterable[bool]:
    for guess in GuessFile(state).read():
        yield all(isinstance(text, str) for text in (guess.model, guess.folder, guess.commit))
        yield is_number(guess.at)
        yield isinstance(guess.size, int)
        yield guess.was_used in (None, True, False)


def _write_watch(state: Path) -> None:
    model = ModelState("org/m", "failed", "c" * 40, "/s", 2, {"code": "x", "message": "y", "hint": None}, 1.0, 2.0)
    WatchFile(state, Path("/list")).save(WatchState("/list", 60.0, None, ("/list",), (model,), ("org/m@main",)))


def _read_watch(state: Path) -> Iterable[bool]:
    for found in (*watched(state), WatchFile(state, Path("/list")).load()):
        yield isinstance(found.path, str)
        yield is_number(found.interval)
        yield found.error is None or isinstance(found.error, str)
        yield all(isinstance(text, str) for text in (*found.files, *found.pins, found.host, found.started))
        for model in found.models:
            yield isinstance(model.ref, str)
            yield isinstance(model.failures, int)
            yield all(text is None or isinstance(text, str) for text in (model.commit, model.snapshot))
            yield all(moment is None or is_number(moment) for moment in (model.last_success, model.next))
            yield model.error is None or all(t is None or isinstance(t, str) for t in model.error.values())


def _write_resolvers(state: Path) -> None:
    keep_standings(state, {NameServer("1.1.1.1"): Standing(0.1, 1.0, 1.0)})


def _write_runs(state: Path) -> None:
    asked = AskedRun((Item(parse_ref("org/m"), ("*.json",), local_dir=Path("/d")),), (NotedOption("--jobs", ("2",)),))
    notes = RunStore(state)
    number, note = notes.begin(asked, 1.0)
    model = NotedModel("org/m@main", ModelStep.FAILED, 9, 5, "down")
    notes.save(number, asdict(replace(note, pid=0, models=(model,), size=9, left=5, rate=1.0)))


def _read_runs(state: Path) -> Iterable[bool]:
    for run in RunStore(state).known():
        yield is_number(run.note.since)
        yield all(is_number(count) and count >= 0 for count in (run.note.left, run.note.size, run.note.rate))
        yield len(run.note.models) == len(run.note.items)
        yield all(isinstance(word, str) for option in run.note.options for word in option.words)
        yield bool(StatusDocument.of([run]).runs)


FILES = [
    Kept("sources.json", _write_sources, _read_sources),
    Kept("resolvers.json", _write_resolvers, _read_resolvers),
    Kept("doctor.json", _write_old_rates, _read_sources),
    Kept("history.jsonl", lambda s: History(s).add([PAST]), _read_history),
    Kept("demand.jsonl", _write_demand, _read_demand),
    Kept("predict.json", _write_trained, _read_trained),
    Kept("guesses.json", _write_guesses, _read_guesses),
    Kept("watch/*.json", _write_watch, _read_watch),
    Kept("runs/*.json", _write_runs, _read_runs),
]  # fmt: skip
per_example = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    for name in ("stage", "watch"):
        (tmp_path / name).mkdir()
    return tmp_path


def _path(kept: Kept, state: Path) -> Path:
    for left in state.glob(kept.name):  # by the example before
        left.unlink()
    kept.write(state)
    (path,) = state.glob(kept.name)
    return path


@pytest.mark.parametrize("kept", FILES, ids=lambda kept: kept.name)
@per_example
@given(garbage=st.binary(max_size=200))
def test_any_bytes_count_as_absent(kept: Kept, state: Path, garbage: bytes) -> None:
    path = _path(kept, state)
    assert all(kept.read(state))
    path.write_bytes(garbage)
    assert all(kept.read(state))
    kept.write(state)


@pytest.mark.parametrize("kept", FILES, ids=lambda kept: kept.name)
@per_example
@given(data=st.data())
def test_another_value_anywhere_in_it_is_refused_or_sane(kept: Kept, state: Path, data: st.DataObject) -> None:
    path = _path(kept, state)
    value: Any = mangled(json.loads(path.read_text()), data)
    path.write_text(json.dumps(value) + "\n")
    assert all(kept.read(state))
