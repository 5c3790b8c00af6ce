"""What `pull` and `plan` decide before the first byte, with a cache in a folder and catalogs of plain values."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.core.plan import Action
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.depot.mover import Mover
from orchestrator.errors import CannotCreateError, DaemonError, Interrupted, NotFoundError, UnsafeError
from orchestrator.events import ModelPhase, Phase
from orchestrator.lists.request import Item, PullRequest
from orchestrator.pulling.pull import plan, pull
from orchestrator.pulling.report import FileState, ModelReport, PullReport
from orchestrator.system.signals import Stop
from tests import plain
from tests.plain import FILES, ONE, REPO, ROOT, TWO, Heard, PlainCatalog

OTHER_REPO = RepoId(RepoType.MODEL, "org/other")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


class Run:
    """A run with what it was told. It has no daemon: whatever is to be fetched ends it."""

    def __init__(self, cache: Cache, *catalogs: PlainCatalog) -> None:
        self.cache = cache
        self.root = PlainCatalog()
        self.sites = plain.sites(*(catalogs or (self.root,)))
        self.stop = Stop()
        self.heard = Heard()

    def pull(self, *items: Item, **given: Any) -> PullReport:
        def no_daemon() -> Any:
            raise DaemonError("there is no aria2c")

        request = PullRequest(items or (Item(plain.ref()),), **given)
        sources = plain.sources(ROOT)
        return pull(request, self.sites, sources, self.cache, Mover(no_daemon), stop=self.stop, emit=self.heard)

    def one(self, *items: Item, **given: Any) -> ModelReport:
        (model,) = self.pull(*items, **given).models
        return model

    def plan(self, *items: Item, **given: Any) -> Any:
        request = PullRequest(items or (Item(plain.ref()),), **given)
        return plan(request, self.sites, self.cache, stop=self.stop, emit=self.heard)


@pytest.fixture
def run(cache: Cache) -> Run:
    return Run(cache)


def states(report: ModelReport) -> set[FileState]:
    return {file.state for file in report.files}


def test_a_complete_model_needs_no_daemon(run: Run) -> None:
    plain.put(run.cache)
    report = run.one()
    assert report.error is None
    assert (report.commit, states(report)) == (ONE, {FileState.ALREADY})
    assert report.snapshot == run.cache.layout.snapshot(REPO, ONE)
    assert run.root.asked == ["revision main"], "what was listed is not listed again"


def test_what_is_missing_needs_one(run: Run) -> None:
    report = run.one()
    assert isinstance(report.error, DaemonError)
    assert states(report) == {FileState.SKIPPED}


def test_blobs_of_another_program_are_read_and_kept_when_they_are_right(run: Run) -> None:
    plain.put_unproven(run.cache)
    report = run.one()
    assert report.error is None
    assert states(report) == {FileState.ALREADY}
    assert (run.cache.layout.snapshot(REPO, ONE) / "sub/b.safetensors").read_bytes() == FILES["sub/b.safetensors"]
    assert run.cache.blobs.is_complete(plain.model_of())


def test_blobs_of_another_program_that_are_wrong_are_removed_and_told(run: Run) -> None:
    plain.put_unproven(run.cache, {**FILES, "a.safetensors": b"b" * 1000})
    report = run.one()
    assert isinstance(report.error, DaemonError)
    assert run.heard.codes == ["cache-was-wrong"]
    digest = plain.file_of("a.safetensors", FILES["a.safetensors"]).digest
    assert not run.cache.layout.blob(REPO, digest).exists()


def test_the_blobs_of_another_repo_are_linked(run: Run) -> None:
    plain.put(run.cache, repo=OTHER_REPO)
    report = run.one()
    assert report.error is None
    assert states(report) == {FileState.LINKED}
    digest = plain.file_of("a.safetensors", FILES["a.safetensors"]).digest
    assert run.cache.layout.blob(REPO, digest).samefile(run.cache.layout.blob(OTHER_REPO, digest))


def test_offline_fetches_nothing_and_says_what_would(run: Run) -> None:
    plain.put(run.cache, {"config.json": b"{}"}, commit=TWO)
    assert run.one(offline=True).error is None
    model = plain.put(run.cache)
    run.cache.blobs.remove_blob(
        REPO, model.wanted.files[0].digest, run.cache.layout.blob(REPO, model.wanted.files[0].digest).stat()
    )
    error = run.one(offline=True).error
    assert isinstance(error, NotFoundError)
    assert "glm-aria pull org/m" in (error.hint or "")


def test_force_plans_to_fetch_what_is_there(run: Run) -> None:
    plain.put(run.cache)
    assert isinstance(run.one(force=True).error, DaemonError)


def test_a_model_that_fails_leaves_the_others_alone(cache: Cache) -> None:
    plain.put(cache)
    run = Run(cache)
    gone, here = run.pull(Item(plain.ref("gone")), Item(plain.ref())).models
    assert isinstance(gone.error, NotFoundError)
    assert here.error is None
    phases = {event.model: event.phase for event in run.heard.events if isinstance(event, ModelPhase)}
    assert phases == {"org/m@gone": Phase.FAILED, "org/m@main": Phase.DONE}


def test_a_ref_that_the_cache_cannot_hold_is_told_before_anything_is_fetched(cache: Cache) -> None:
    plain.put(cache, revision="feature")
    run = Run(cache)
    run.root.heads["feature/x"] = ONE
    error = run.one(Item(plain.ref("feature/x"))).error
    assert isinstance(error, CannotCreateError)
    assert "nothing was fetched" in error.message


def test_a_planted_link_in_the_cache_is_refused(run: Run, tmp_path: Path) -> None:
    plain.put(run.cache)
    blobs = run.cache.layout.repo_dir(REPO) / "blobs"
    blobs.rename(tmp_path / "away")
    blobs.symlink_to(tmp_path / "away")
    assert isinstance(run.one().error, UnsafeError)


class StopAfterLook(Stop):
    """The signal comes between the look with this number and the next."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._looks = number

    def is_set(self) -> bool:
        found = super().is_set()
        self._looks -= 1
        if self._looks == 0:
            self.set()
        return found


class SilentMover(Mover):
    """Brings nothing, and never ends by itself."""

    servers = ()

    @contextmanager
    def open(self, *_args: Any, **_named: Any) -> Iterator[Any]:
        yield self

    def want(self, job: object, need: object) -> None:
        """Begin none."""

    def stir(self) -> None:
        """Nobody is asked."""

    def poll(self) -> float:
        return time.monotonic() + 0.01


def test_a_run_ends_wherever_between_two_looks_the_signal_comes(run: Run) -> None:
    def work(ended: Future[PullReport]) -> None:
        given = run.sites, plain.sources(ROOT), run.cache, SilentMover(cast(Any, None))
        ended.set_result(pull(PullRequest((Item(plain.ref()),)), *given, stop=run.stop, emit=run.heard))

    for look in range(1, 20):
        ended: Future[PullReport] = Future()
        run.stop = StopAfterLook(look)
        threading.Thread(target=work, args=[ended], daemon=True).start()
        (report,) = ended.result(20).models
        assert isinstance(report.error, Interrupted), look


def test_a_stopped_run_reports_each_model_as_interrupted(run: Run) -> None:
    run.stop.signal_number = signal.SIGTERM
    run.stop.set()
    report = run.pull()
    assert report.interrupted == signal.SIGTERM
    assert isinstance(report.models[0].error, Interrupted)
    assert run.root.asked == []


def test_a_lock_is_made_of_a_complete_model_on_demand(run: Run) -> None:
    plain.put(run.cache)
    assert run.one().lock is None
    lock = run.one(make_lock=True).lock
    assert lock is not None
    assert {file.path for file in lock.files} == set(FILES)


def test_a_local_dir_gets_what_the_cache_holds_and_keeps_what_is_the_users(run: Run, tmp_path: Path) -> None:
    plain.put(run.cache)
    folder = tmp_path / "plain"
    item = Item(plain.ref(), local_dir=folder)
    assert run.one(item).error is None
    assert (folder / "config.json").read_bytes() == b"{}"
    (folder / "config.json").write_bytes(b"mine")
    error = run.one(item).error
    assert isinstance(error, CannotCreateError)
    assert "--force" in (error.hint or "")
    assert (folder / "config.json").read_bytes() == b"mine"


def test_a_new_name_is_told_once(run: Run) -> None:
    plain.put(run.cache)
    run.root.name_now = "org/new"
    run.pull()
    assert run.heard.codes == ["renamed"]


# -- plan


def test_a_plan_says_what_would_be_done_and_does_nothing(run: Run) -> None:
    plain.put(run.cache, {"config.json": b"{}"}, repo=OTHER_REPO)
    before = sorted(run.cache.layout.cache_dir.rglob("*"))
    made, failed = run.plan()
    actions = {item.file.path: item.action for item in made.models[0].files}
    assert actions == {"config.json": Action.LINK, "a.safetensors": Action.FETCH, "sub/b.safetensors": Action.FETCH}
    assert made.bytes_to_fetch == 3000
    assert [job.name for job in made.jobs] == ["sub/b.safetensors", "a.safetensors"], "the largest first"
    assert failed == ()
    assert sorted(run.cache.layout.cache_dir.rglob("*")) == before


def test_a_plan_reports_what_cannot_be_pulled(run: Run) -> None:
    made, failed = run.plan(Item(plain.ref("gone")), Item(plain.ref()))
    assert [model.model.ref.revision for model in made.models] == ["main"]
    assert [model.ref for model in failed] == ["org/m@gone"]


def test_a_plan_of_a_stopped_run_is_an_interruption(run: Run) -> None:
    run.stop.set()
    with pytest.raises(Interrupted):
        run.plan()


def test_priority_comes_before_size(cache: Cache) -> None:
    run = Run(cache)
    items = (Item(plain.ref(), include=("*b.safetensors",)), Item(plain.ref(), include=("*.json",), priority=5))
    made, _ = run.plan(*items)
    assert [job.name for job in made.jobs] == ["config.json", "sub/b.safetensors"]
