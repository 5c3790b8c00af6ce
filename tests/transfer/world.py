"""A hub with a repo, and transfers of its files into one folder: what the tests of the feeder work with."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.aria2.daemon import PrivateDaemon
from orchestrator.core.extents import Ranges
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Body, Origin, RangeAnswer, Source
from orchestrator.mirrors.ranges import ask_for_range
from orchestrator.mirrors.small_files import FileRange, open_body
from orchestrator.net.answers import Limits as NetLimits
from orchestrator.net.session import Net
from orchestrator.system.inbox import Inbox
from orchestrator.transfer.feeder import Feeder
from orchestrator.transfer.interface import (
    Admission,
    Already,
    Fetched,
    Lost,
    Need,
    Terms,
    TransferEvent,
    Uri,
)
from orchestrator.transfer.journal import journal_path
from orchestrator.transfer.limits import TransferLimits
from orchestrator.transfer.spans import SMALL
from tests.hub.content import MIB
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo


@dataclass
class Addresses:
    """A locator with known addresses. A path in `errors` raises instead."""

    sites: Mapping[str, str]
    commit: str
    errors: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    inspected: list[str] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    fetched: list[tuple[str, int, int]] = field(default_factory=list)
    reaches: dict[str, Ranges] = field(default_factory=dict)
    picks: dict[str, Callable[[Ranges], int | None]] = field(default_factory=dict)
    terms_of: dict[str, Terms] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    reconnected: int = 0

    def candidates(self, job: Job) -> tuple[str, ...]:
        return tuple(name for name in self.sites if name not in self.gone)

    def reach(self, job: Job, source: str) -> Ranges | None:
        return self.reaches.get(source)

    def pick(self, job: Job, source: str, free: Ranges) -> int | None:
        return self.picks[source](free) if source in self.picks else None

    def terms(self, source: str) -> Terms:
        return self.terms_of.get(source, Terms())

    def locate(self, job: Job, source: str) -> Uri:
        self.threads.add(threading.current_thread().name)
        self.asked.append(job.name)
        if job.name in self.errors:
            raise self.errors[job.name]
        return self._uri(job, source)

    def fetch(self, job: Job, source: str, start: int, end: int) -> Body:
        url = self._uri(job, source).url
        self.fetched.append((job.name, start, end))
        wanted = FileRange(job.name, "org/m", job.size, start, end)
        there = Source(source, self.sites[source])
        net = Net(limits=NetLimits(attempts=1))
        body = open_body(net, there, url, wanted)[0]

        def close() -> None:
            body.close()
            net.close()

        return replace(body, close=close)

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        self.inspected.append(job.name)
        with Net(limits=NetLimits(attempts=1)) as net:
            return ask_for_range(net, Source(uri.source, ""), uri.url, start, end)

    def reconnect(self) -> None:
        self.reconnected += 1

    def _uri(self, job: Job, source: str) -> Uri:
        # Half a second away, as far as the transfer knows: it begins with all connections.
        return Uri(source, f"{self.sites[source]}/org/m/resolve/{self.commit}/{job.name}", 0.5)


class World:
    """A hub with one repo, jobs for its files, and transfers into one staging folder."""

    def __init__(self, stack: ExitStack, folder: Path, daemon: PrivateDaemon, files: Mapping[str, bytes]) -> None:
        self.stack, self.stage, self.daemon, self.files = stack, folder / "stage", daemon, dict(files)
        self.inbox: Inbox[TransferEvent] = Inbox()
        self.stage.mkdir()
        self.repo = Repo("model", "org/m", self.files)
        self.hub = stack.enter_context(LoopbackHub([self.repo]))
        self.locator = Addresses({"hub": self.hub.url}, self.repo.head)
        self.jobs = {path: self._job(path, data) for path, data in files.items()}

    def _job(self, path: str, data: bytes) -> Job:
        digest = Digest(Algorithm.SHA256, hashlib.sha256(data).hexdigest())
        origin = Origin(RepoId(RepoType.MODEL, "org/m"), self.repo.head, path)
        return Job(digest, len(data), len(data) > MIB, (origin,))

    def part(self, job: Job) -> Path:
        return self.stage / job.digest.hex

    def transfer(
        self,
        *,
        limits: TransferLimits | None = None,
        admit: Callable[[Job], Admission] | None = None,
        way: Mapping[str, str] | None = None,
    ) -> Feeder:
        made = Feeder(
            self.daemon.start,
            self.locator,
            part=self.part,
            admit=admit or (lambda _job: Admission.GO),
            tell=self.inbox.put,
            wake=self.inbox.wake,
            limits=limits or TransferLimits(),
            restartable=True,
            way=lambda _source: way or {},
        )
        self.stack.callback(made.stop)
        return made

    def step(self, transfer: Feeder) -> list[TransferEvent]:
        """What happened up to the next poll, or for a moment when there will be none."""
        return list(self.inbox.take(min(transfer.poll(), time.monotonic() + 1)))

    def end(
        self, transfer: Feeder, each: Callable[[TransferEvent], object] = lambda _: None
    ) -> dict[str, TransferEvent]:
        """Poll until all have ended; how each job ended, by name."""
        found: dict[str, TransferEvent] = {}
        while not transfer.is_idle:
            for outcome in self.step(transfer):
                each(outcome)
                if isinstance(outcome, Fetched | Already | Lost):
                    assert outcome.job.name not in found, "a job ended twice"
                    found[outcome.job.name] = outcome
        return found

    def check(self, ended: Mapping[str, TransferEvent]) -> None:
        assert set(ended) == set(self.files)
        for name, outcome in ended.items():
            assert isinstance(outcome, Fetched), outcome
            assert outcome.part.read_bytes() == self.files[name]
        parts = {self.part(job) for job in self.jobs.values()}
        whole = {journal_path(self.part(job)) for job in self.jobs.values() if job.size >= SMALL}
        assert set(self.stage.iterdir()) == parts | whole


MakeWorld = Callable[[Mapping[str, bytes]], World]


def begin(transfer: Feeder, jobs: Iterable[Job]) -> None:
    """Have all of these jobs fetched, in this order."""
    for job in jobs:
        transfer.want(job, Need())


def in_order(_job: Job, _source: str, _free: Ranges) -> None:
    """The `pick` of a locator to which all ranges are the same."""
