"""A folder that is pushed on each save: which versions come of it, and what is read and sent for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.errors import NotFoundError, SourcesDownError
from orchestrator.events import Event, FileProgress, ModelPhase, Notice, Phase
from orchestrator.publishing import developing, saves
from orchestrator.publishing.destinations import Destination, TagDestination
from orchestrator.publishing.developing import Development, push_on_save
from orchestrator.publishing.push import PushReport, PushRequest
from orchestrator.publishing.uploads import chunk_of
from orchestrator.registry.uploads import MOST_CHUNK
from orchestrator.registry.versions import Version
from tests.machine.machine import until
from tests.publishing.conftest import FILES, Pusher, write

BASE = Version(1, 2, 0)


@pytest.mark.parametrize(
    ("versions", "newest"),
    [
        ([], None),
        (["1.2.0", "1.2.0-rc.4", "1.2.0-dev", "1.2.0-dev.x", "1.2.0-dev.01x", "1.3.0-dev.7", "1.2.0-dev.3+b"], None),
        (["1.2.0-dev.2", "1.2.0-dev.10", "1.2.0-dev.9"], 10),
    ],
)
def test_the_newest_is_found_by_its_number(versions: list[str], newest: int | None) -> None:
    wanted = Development(PushRequest(Path("model")), BASE)
    assert wanted.newest(list(map(Version.parse, versions))) == newest


@dataclass
class Worker:
    """Somebody who works in a folder that is pushed on each save."""

    pusher: Pusher
    folder: Path
    reports: list[PushReport] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    failures: int = 0
    """Pushes that find no registry."""

    def versions(self) -> list[Version]:
        if self.failures:
            self.failures -= 1
            raise SourcesDownError("the registry does not answer")
        try:
            return [found for tag in self.pusher.client.tags() if (found := Version.of_tag(tag))]
        except NotFoundError:
            return []

    @contextmanager
    def at(self, version: Version) -> Iterator[Destination]:
        yield TagDestination(self.pusher.client, version.tag, self.pusher.begun)

    @contextmanager
    def working(self) -> Iterator[None]:
        wanted = Development(PushRequest(self.folder, alias="dev"), BASE)
        thread = threading.Thread(
            target=push_on_save,
            args=(wanted, self, self.reports.append),
            kwargs={"emit": self.events.append, "stop": self.pusher.stop},
        )
        thread.start()
        try:
            yield
        finally:
            self.pusher.stop.set()
            thread.join(20)

    def becomes(self, condition: Callable[[], bool]) -> None:
        assert until(condition, 20), (self.reports, self.events[-5:])

    def read(self) -> list[str]:
        """The files that were hashed, in order."""
        return [
            event.name
            for event in self.events
            if isinstance(event, FileProgress) and event.phase is Phase.CHECKING and event.done == event.total
        ]


@pytest.fixture
def worker(pusher: Pusher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(saves, "QUIET", 0.02)
    monkeypatch.setattr(developing, "_FIRST_WAIT", 0.01)
    return Worker(pusher, write(tmp_path / "model", {name: data for name, data in FILES.items() if data}))


def test_each_save_is_the_next_version_and_only_what_changed_is_read(worker: Worker) -> None:
    with worker.working():
        worker.becomes(lambda: len(worker.reports) == 1)
        assert sorted(worker.read()) == sorted(name for name, data in FILES.items() if data)
        worker.events.clear()
        write(worker.folder, {"config.json": b'{"model_type": "new"}'})
        worker.becomes(lambda: len(worker.reports) == 2)
        write(worker.folder, {"lora/adapter.bin": b"new"})
        worker.becomes(lambda: len(worker.reports) == 3)
        assert worker.read() == ["config.json", "lora/adapter.bin"]
    assert [report.version for report in worker.reports] == ["1.2.0-dev.1", "1.2.0-dev.2", "1.2.0-dev.3"]
    sent = {file.path for report in worker.reports[1:] for file in report.files if file.sent}
    assert sent == {"config.json", "lora/adapter.bin"}
    assert worker.pusher.client.head("dev") == worker.reports[-1].digest
    # A bar goes away with each of them, and shows no file but the user's.
    over = [event.model.partition("@")[2] for event in worker.events if isinstance(event, ModelPhase)]
    assert over == ["1.2.0-dev.2", "1.2.0-dev.3"]
    assert {event.name for event in worker.events if isinstance(event, FileProgress)} == sent


def test_the_same_content_makes_no_version(worker: Worker) -> None:
    """Neither when a file is saved as it was, nor when the watching begins again."""
    with worker.working():
        worker.becomes(lambda: len(worker.reports) == 1)
        worker.events.clear()
        write(worker.folder, {"config.json": FILES["config.json"]})
        worker.becomes(lambda: worker.read() == ["config.json"])
        write(worker.folder, {"config.json": b"{}"})
        worker.becomes(lambda: len(worker.reports) == 2)
    again = Worker(
        Pusher(worker.pusher.net, worker.pusher.registry, worker.pusher.state, worker.pusher.name), worker.folder
    )
    with again.working():
        again.becomes(lambda: len(again.reports) == 1)
    assert [report.version for report in worker.reports] == ["1.2.0-dev.1", "1.2.0-dev.2"]
    assert [(report.version, report.was_there) for report in again.reports] == [("1.2.0-dev.2", True)]


def test_a_push_that_fails_is_told_and_tried_again(worker: Worker) -> None:
    with worker.working():
        worker.becomes(lambda: len(worker.reports) == 1)
        worker.failures = 2
        write(worker.folder, {"config.json": b"{}"})
        worker.becomes(lambda: len(worker.reports) == 2)
    told = [event.code for event in worker.events if isinstance(event, Notice)]
    assert told == ["push-failed", "push-failed"]
    assert worker.reports[1].version == "1.2.0-dev.2"


def test_a_server_takes_the_chunks_of_the_biggest_model() -> None:
    assert chunk_of(10**13) <= MOST_CHUNK
