"""A list kept true: what is pulled when, what is told, and what the state says afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.core.refs import Target
from orchestrator.errors import DiskIOError, GlmAriaError, Interrupted, NotFoundError, TemporaryError, UsageError
from orchestrator.events import Emit, Flipped, ModelPhase, Phase
from orchestrator.lists.request import Item
from orchestrator.pulling.report import ModelReport, PullReport
from orchestrator.system.signals import Stop
from orchestrator.watch import watch as module
from orchestrator.watch.state import WatchFile, WatchState
from orchestrator.watch.watch import Ports, WatchReport, WatchRequest, watch
from tests import plain
from tests.plain import ONE, REPO, TWO, Heard

A, B, C = (Item(plain.ref(name)) for name in "abc")


class Follower:
    """Files that change when a test says so."""

    told = threading.Event()

    def __enter__(self) -> Follower:
        Follower.told.clear()
        return self

    def __exit__(self, *_: object) -> None: ...

    def look(self, files: Any) -> Any:
        return ()

    def follow(self, files: Any, seen: Any = None) -> None: ...

    def changed(self) -> bool:
        changed = Follower.told.is_set()
        Follower.told.clear()
        return changed


class Told:
    """News that a test tells; `heard` are the items whose moves it would tell."""

    def __init__(self) -> None:
        self.heard: frozenset[Item] = frozenset()
        self.news: frozenset[Item] = frozenset()
        self.followed: tuple[Item, ...] = ()

    def follow(self, items: Iterable[Item]) -> None:
        self.followed = tuple(items)

    def moved(self) -> frozenset[Item]:
        found, self.news = self.news, frozenset()
        return found

    def hears(self, item: Item) -> bool:
        return item in self.heard


class Run:
    """A watch with a list that tests change, and pulls that end as they say."""

    def __init__(self, cache: Cache, folder: Path) -> None:
        self.cache, self.path = cache, folder / "models.txt"
        self.items: tuple[Item, ...] = (A, B)
        self.wrong: str | None = None
        self.pulled: list[tuple[str, ...]] = []
        self.ends: dict[Item, GlmAriaError] = {}
        self.commit = ONE
        self.during: Callable[[Stop, Emit], None] = lambda _stop, _tell: None
        self.stop, self.heard, self.told = Stop(), Heard(), Told()
        self.file = WatchFile(cache.state_dir, self.path)
        self._thread: threading.Thread | None = None
        self._report: WatchReport | None = None

    def read(self) -> Any:
        if self.wrong:
            raise UsageError(self.wrong)
        return self.items, (self.path,)

    def pull(self, items: tuple[Item, ...], stop: Stop, tell: Emit) -> PullReport:
        self.pulled.append(tuple(item.ref.revision for item in items))
        self.during(stop, tell)
        reports = []
        for item in items:
            error = Interrupted(2) if stop.is_set() else self.ends.get(item)
            snapshot = None if error else self.cache.layout.snapshot(REPO, self.commit)
            commit = None if error else self.commit
            reports.append(ModelReport(str(item.ref), commit, snapshot=snapshot, error=error))
        return PullReport(tuple(reports))

    def once(self, **given: Any) -> WatchReport:
        return self.watch(WatchRequest(60, once=True, **given))

    def watch(self, request: WatchRequest) -> WatchReport:
        ports = Ports(self.read, self.pull, self.cache.pins, self.file, self.told)
        return watch(request, ports, self.stop, self.heard)

    def begin(self, **given: Any) -> None:
        def run() -> None:
            self._report = self.watch(WatchRequest(60, **given))

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def change(self, *items: Item, wrong: str | None = None) -> None:
        self.items, self.wrong = items or self.items, wrong
        Follower.told.set()

    def becomes(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, (self.pulled, self.heard.events, self.file.load())
            time.sleep(0.01)

    def leave(self) -> None:
        self.stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def end(self) -> WatchReport:
        self.leave()
        assert self._report is not None
        return self._report

    def state(self, item: Item) -> Any:
        return self.file.load().of(str(item.ref))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setattr(module, "Follower", Follower)
    monkeypatch.setattr(module, "_STEP", 0.01)
    with plain.cache(tmp_path) as cache:
        made = Run(cache, tmp_path)
        yield made
        made.leave()


# -- once


def test_all_that_is_due_is_pulled_as_one_queue(run: Run) -> None:
    report = run.once()
    assert run.pulled == [("a", "b")]
    assert (report.errors, report.interrupted) == ((), None)
    assert {model.state for model in report.state.models} == {"done"}
    assert run.state(A).commit == ONE
    assert run.state(A).last_success is not None
    assert run.state(A).next is None, "with --once there is no next look"


def test_a_model_that_fails_has_its_error_in_report_and_state(run: Run) -> None:
    run.ends[A] = NotFoundError("gone", hint="look again")
    report = run.once()
    assert run.pulled == [("a", "b")], "with --once a failure is not tried again"
    assert report.errors == (run.ends[A],)
    assert (run.state(A).state, run.state(A).failures) == ("failed", 1)
    assert run.state(A).error == {"code": "not-found", "message": "gone", "hint": "look again"}
    assert run.state(B).state == "done"


def test_what_ends_the_whole_pull_concerns_all_of_it(run: Run) -> None:
    def fail(_stop: Stop, _tell: Emit) -> None:
        raise DiskIOError("the disk is full of holes")

    run.during = fail
    report = run.once()
    assert [type(error) for error in report.errors] == [DiskIOError] * 2


def test_a_bug_in_a_pull_is_not_swallowed(run: Run) -> None:
    def fail(_stop: Stop, _tell: Emit) -> None:
        raise ZeroDivisionError

    run.during = fail
    with pytest.raises(ZeroDivisionError):
        run.once()


def test_a_list_that_is_wrong_at_the_start_is_an_error(run: Run) -> None:
    run.wrong = "models.txt: line 1 is no ref"
    with pytest.raises(UsageError):
        run.once()
    assert run.pulled == []


def test_a_list_has_one_watcher(run: Run) -> None:
    with run.file.alone(), pytest.raises(TemporaryError, match="is watched for this cache already"):
        run.once()


def test_a_flip_that_another_program_made_is_told(run: Run) -> None:
    run.once()
    assert not [event for event in run.heard.events if isinstance(event, Flipped)], "nothing was known before"
    run.commit = TWO
    run.once()
    flips = [event for event in run.heard.events if isinstance(event, Flipped)]
    assert {(flip.model, flip.old, flip.new) for flip in flips} == {
        ("org/m@a", ONE, TWO), ("org/m@b", ONE, TWO),
    }  # fmt: skip


def test_a_flip_that_the_pull_told_is_not_told_twice(run: Run) -> None:
    run.once()
    run.items, run.commit = (A,), TWO
    run.during = lambda _stop, tell: tell(Flipped(str(A.ref), Path("/s"), ONE, TWO))
    run.once()
    assert len([event for event in run.heard.events if isinstance(event, Flipped)]) == 1


def test_a_model_that_is_done_is_noted_while_the_others_go_on(run: Run) -> None:
    seen: list[str] = []

    def during(_stop: Stop, tell: Emit) -> None:
        tell(ModelPhase(str(A.ref), Phase.DONE))
        seen.extend(model.state for model in run.file.load().models)

    run.during = during
    run.once()
    assert seen == ["done", "pulling"]


# -- pins


def test_models_of_the_list_are_pinned_on_demand(run: Run) -> None:
    run.once()
    assert run.cache.pins.own() == frozenset()
    run.once(pin=True)
    assert run.cache.pins.own() == {Target(REPO, "a"), Target(REPO, "b")}


def test_a_pin_goes_with_the_model_only_where_it_was_the_watchs(run: Run) -> None:
    run.cache.pins.add([Target(REPO, "b")])
    run.once(pin=True, unpin=True)
    assert len(run.cache.pins.own()) == 2
    run.items = (C,)
    run.once(pin=True, unpin=True)
    assert run.cache.pins.own() == {Target(REPO, "b"), Target(REPO, "c")}, "b had been pinned by the user before"


def test_half_a_list_is_no_reason_to_unpin_at_once(run: Run) -> None:
    run.begin(pin=True, unpin=True)
    run.becomes(lambda: run.pulled)
    run.change(A)
    run.becomes(lambda: len(run.file.load().models) == 1)
    run.end()
    assert Target(REPO, "b") in run.cache.pins.own()


# -- for long


def test_a_model_that_joins_the_list_is_pulled_alone(run: Run) -> None:
    run.begin()
    run.becomes(lambda: run.state(B) and run.state(B).state == "done")
    run.change(A, B, C)
    run.becomes(lambda: run.state(C) and run.state(C).state == "done")
    report = run.end()
    assert run.pulled == [("a", "b"), ("c",)]
    assert report.interrupted == 2
    assert run.state(A).next is not None


def test_a_new_model_does_not_wait_for_a_pull_that_is_under_way(run: Run) -> None:
    def wait_once(stop: Stop, _tell: Emit) -> None:
        run.during = lambda _stop, _tell: None
        assert stop.wait(10), "the pull was not stopped"

    run.during = wait_once
    run.begin()
    run.becomes(lambda: run.pulled)
    run.change(A, B, C)
    run.becomes(lambda: len(run.pulled) == 2)
    run.end()
    assert run.pulled == [("a", "b"), ("a", "b", "c")]


def test_a_model_that_left_the_list_ends_its_pull(run: Run) -> None:
    def wait_once(stop: Stop, _tell: Emit) -> None:
        run.during = lambda _stop, _tell: None
        assert stop.wait(10)

    run.during = wait_once
    run.begin()
    run.becomes(lambda: run.pulled)
    run.change(B)
    run.becomes(lambda: len(run.pulled) == 2)
    run.end()
    assert run.pulled == [("a", "b"), ("b",)]
    assert run.state(A) is None


def test_what_is_told_to_have_moved_is_pulled_at_once_and_alone(run: Run) -> None:
    run.begin()
    run.becomes(lambda: run.state(B) and run.state(B).state == "done")
    assert run.told.followed == (A, B)
    run.told.news = frozenset({B})
    run.becomes(lambda: len(run.pulled) == 2)
    assert run.pulled == [("a", "b"), ("b",)]


def test_what_moved_while_it_was_pulled_is_pulled_again(run: Run) -> None:
    """The pull may have asked before the move."""
    told = iter([frozenset({A})])

    def during(_stop: Stop, _tell: Emit) -> None:
        run.told.news = next(told, frozenset())
        run.becomes(lambda: not run.told.news)

    run.during = during
    run.begin()
    run.becomes(lambda: len(run.pulled) == 2)
    assert run.pulled == [("a", "b"), ("a",)]


def test_what_moves_beside_a_long_pull_is_let_in(run: Run) -> None:
    run.begin()
    run.becomes(lambda: run.state(B) and run.state(B).state == "done")
    began = threading.Event()

    def during(stop: Stop, _tell: Emit) -> None:
        if len(run.pulled) == 2:
            began.set()
            stop.wait(10)

    run.during = during
    run.told.news = frozenset({A})
    assert began.wait(10)
    run.told.news = frozenset({B})
    run.becomes(lambda: len(run.pulled) == 3)
    assert run.pulled[1:] == [("a",), ("a", "b")]


def test_a_look_is_due_in_the_interval_where_moves_are_not_told(run: Run) -> None:
    run.told.heard = frozenset({A})
    run.begin()
    run.becomes(lambda: run.state(B) and run.state(B).next and run.state(A).next)
    assert run.state(A).next - run.state(B).next > 1000
    run.told.heard = frozenset()
    run.told.news = frozenset({B})
    run.becomes(lambda: len(run.pulled) == 2)
    assert run.pulled[1] == ("b",)


def test_once_listens_to_nothing(run: Run) -> None:
    run.once()
    assert run.told.followed == ()


def test_a_list_that_is_wrong_for_a_while_leaves_the_last_good_one(run: Run) -> None:
    run.begin()
    run.becomes(lambda: run.state(B) and run.state(B).state == "done")
    for _ in range(2):
        run.change(wrong="models.txt: line 3 is no ref")
        run.becomes(lambda: not Follower.told.is_set())
    run.becomes(lambda: run.file.load().error)
    assert len(run.file.load().models) == 2
    run.change(A)
    run.becomes(lambda: run.file.load().error is None)
    run.end()
    assert run.heard.codes == ["list-wrong"], "told once"


def test_a_model_that_fails_waits_longer_and_is_told(run: Run) -> None:
    run.ends[A] = NotFoundError("gone")
    run.begin()
    run.becomes(lambda: run.state(A) and run.state(A).failures)
    report = run.end()
    assert run.heard.codes == ["model-failed"]
    assert "retry in" in run.heard.messages[0]
    assert report.errors == (run.ends[A],)


def test_a_stopped_watch_stops_its_pull_and_says_so(run: Run) -> None:
    def during(stop: Stop, _tell: Emit) -> None:
        stop.is_abrupt = False
        assert stop.wait(10)

    run.during = during
    run.begin()
    run.becomes(lambda: run.pulled)
    assert run.end().interrupted == 2
    assert {model.state for model in run.file.load().models} == {"interrupted"}


# -- the file of the state


def test_a_state_that_cannot_be_read_counts_as_absent(run: Run) -> None:
    run.once()
    (file,) = (run.cache.state_dir / "watch").glob("*.json")
    for text in ("", "[]", '{"version": 1}', '{"version": 1, "path": "x", "models": [7]}'):
        file.write_text(text)
        assert run.file.load() == WatchState(str(run.path))


def test_a_state_says_whether_its_watcher_runs(run: Run) -> None:
    assert not run.file.load().is_running
    with run.file.alone():
        run.file.save(WatchState(str(run.path)))
        assert run.file.load().is_running
    assert not run.file.load().is_running
