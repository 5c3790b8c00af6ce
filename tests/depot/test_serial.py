"""Jobs in, proven files out, without a thread: what falls into the inbox comes in the same order whenever it runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, cast

import pytest

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.cache.cache import Cache
from orchestrator.core.extents import Ranges
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Body, Origin, RangeAnswer
from orchestrator.depot.candidates import Candidates
from orchestrator.depot.depot import Depot
from orchestrator.depot.messages import DepotMessage, Ended, Proven
from orchestrator.depot.mover import Mover
from orchestrator.depot.watch import State
from orchestrator.errors import IntegrityError, NotFoundError
from orchestrator.events import FileProgress, Phase
from orchestrator.system.inbox import Inbox
from orchestrator.system.signals import Stop
from orchestrator.system.threads import SerialPool
from orchestrator.transfer.interface import Already, Lost, Terms, Uri
from tests import plain
from tests.plain import MIRROR, REPO, ROOT, Heard

CONTENT = {f"{number}.json": b"%d" % number * 100 for number in range(5)}


@dataclass
class Texts:
    """Files by source. One whose name is not there is not found; nothing comes over the network."""

    by_source: Mapping[str, Mapping[str, bytes]]
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        places = {name: (source, Origin(REPO, plain.ONE, "f")) for name, source in (("root", ROOT), ("mirror", MIRROR))}
        self.choice = Candidates(lambda _job: {name: places[name] for name in self.by_source})

    def candidates(self, job: Job) -> tuple[str, ...]:
        return self.choice.of(job)

    def reach(self, job: Job, source: str) -> Ranges | None:
        return None

    def pick(self, job: Job, source: str, free: Ranges) -> int | None:
        return None

    def terms(self, source: str) -> Terms:
        return Terms()

    def locate(self, job: Job, source: str) -> Uri:
        raise NotFoundError(f"no address for {job.name} at {source}")

    def fetch(self, job: Job, source: str, start: int, end: int) -> Body:
        self.asked.append((source, job.name))
        data = self.by_source[source].get(job.name)
        if data is None:
            raise NotFoundError(f"{source} has no {job.name}")
        return Body(start, iter([data[start:end]]), abort=lambda: None, close=lambda: None)

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        raise NotFoundError(f"no answer for {job.name} from {uri.source}: {start}-{end}")

    def reconnect(self) -> None:
        """It keeps none."""


class NoDaemon:
    """Small files need none."""

    restartable = True

    def start(self) -> Endpoint:
        raise AssertionError("small files need no aria2c")

    def check(self, staging: Path) -> int | None:
        assert staging.is_dir()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to end."""


def job_of(name: str) -> Job:
    data = CONTENT[name]
    digest = Digest(Algorithm.SHA256, hashlib.sha256(data).hexdigest())
    return Job(digest, len(data), True, (Origin(REPO, plain.ONE, name),))


@dataclass
class Bench:
    """A depot that all of CONTENT is wanted of over one cache, and what its inbox is told."""

    cache: Cache
    locator: Texts
    placed: frozenset[str] = frozenset()
    wanted: tuple[str, ...] = tuple(CONTENT)
    heard: Heard = field(default_factory=Heard)
    stats: plain.PlainStats = field(default_factory=plain.PlainStats)
    inbox: Inbox[DepotMessage] = field(default_factory=lambda: Inbox(SerialPool))
    messages: list[DepotMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.depot = Depot(
            self.locator,
            plain.sources(ROOT, MIRROR, stats=self.stats),
            self.cache.staging,
            Mover(NoDaemon, make_pool=SerialPool),
            inbox=self.inbox,
            is_placed=lambda job: job.name in self.placed,
            stop=Stop(),
            emit=self.heard,
        )
        for name in self.wanted:
            self.depot.want(job_of(name))

    def run(self) -> dict[str, Ended]:
        """How each job ended, by name."""
        found: dict[str, Ended] = {}
        with self.depot:
            while not self.depot.is_idle:
                for message in self.inbox.take(self.depot.poll()):
                    self.messages.append(message)
                    if (ended := self.depot.take(message)) is not None:
                        assert ended.job.name not in found, "a job ended twice"
                        found[ended.job.name] = ended
        return found

    @property
    def phases(self) -> list[tuple[str, Phase]]:
        return [(event.name, event.phase) for event in self.heard.events if isinstance(event, FileProgress)]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


def test_each_file_is_proven_and_who_sent_it_is_known(cache: Cache) -> None:
    bench = Bench(cache, Texts({"root": CONTENT}))
    ended = bench.run()
    assert list(ended) == list(CONTENT)
    for name, one in ended.items():
        assert isinstance(one, Proven)
        assert one.file.path.read_bytes() == CONTENT[name]
        assert one.sent == {"root": len(CONTENT[name])}


def test_it_goes_the_same_way_every_time(tmp_path: Path) -> None:
    told = []
    for number in range(2):
        with plain.cache(tmp_path / str(number)) as cache:
            bench = Bench(cache, Texts({"root": CONTENT, "mirror": CONTENT}))
            bench.run()
            told.append(([type(message) for message in bench.messages], bench.phases, bench.locator.asked))
    assert told[0] == told[1]


def test_what_another_run_placed_is_not_fetched(cache: Cache) -> None:
    bench = Bench(cache, Texts({"root": CONTENT}), placed=frozenset({"2.json"}))
    ended = bench.run()
    assert ended.pop("2.json") == Already(job_of("2.json"))
    assert all(isinstance(one, Proven) for one in ended.values())
    assert ("root", "2.json") not in bench.locator.asked


def test_what_no_source_has_is_lost_and_its_claim_given_back(cache: Cache) -> None:
    bench = Bench(cache, Texts({"root": {name: data for name, data in CONTENT.items() if name != "3.json"}}))
    ended = bench.run()
    lost = ended.pop("3.json")
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, NotFoundError)
    assert ("3.json", Phase.FAILED) in bench.phases
    assert all(isinstance(one, Proven) for one in ended.values())
    claim = cache.staging.claim(job_of("3.json").digest)
    assert claim is not None
    claim.release()


def test_wrong_bytes_come_again_from_another_source_and_the_liar_is_named(cache: Cache) -> None:
    lies = {**CONTENT, "1.json": b"x" * len(CONTENT["1.json"])}
    bench = Bench(cache, Texts({"root": CONTENT, "mirror": lies}))
    bench.locator.choice.restrict(job_of("1.json"), {"mirror"})
    ended = bench.run()
    one = cast(Proven, ended["1.json"])
    assert one.file.path.read_bytes() == CONTENT["1.json"]
    assert one.sent == {"mirror": 100, "root": 100}
    assert bench.heard.codes == ["mirror-lied"]
    assert [source.name for source, _, _ in bench.stats.quarantined] == ["mirror"]


def test_wrong_bytes_from_everybody_are_lost(cache: Cache) -> None:
    wrong = {**CONTENT, "1.json": b"x" * len(CONTENT["1.json"])}
    ended = Bench(cache, Texts({"root": wrong, "mirror": wrong})).run()
    lost = ended["1.json"]
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, IntegrityError)


def test_abandoned_jobs_end_nothing(cache: Cache) -> None:
    bench = Bench(cache, Texts({"root": CONTENT}))
    with bench.depot:
        bench.depot.abandon({job_of(name).digest for name in CONTENT})
        assert bench.depot.is_idle
    assert bench.locator.asked == []


def test_one_that_is_wanted_at_the_moment_it_is_lost_is_lost_for_all(cache: Cache) -> None:
    """The wish lies in the inbox before the loss, and the transfer has forgotten the job by then."""
    bench = Bench(cache, Texts({"root": {}}), wanted=())
    first = bench.depot.want(job_of("1.json"))
    with bench.depot:
        list(map(bench.depot.take, bench.inbox.take(0)))
        bench.depot.poll()
        second = bench.depot.want(job_of("1.json"))
        while not bench.depot.is_idle:
            for message in bench.inbox.take(bench.depot.poll()):
                bench.depot.take(message)
        list(map(bench.depot.take, bench.inbox.take(0)))
        assert (first.state, second.state) == (State.LOST, State.LOST)
        bench.depot.poll()
        third = bench.depot.want(job_of("1.json"))
        assert third.state is State.WAITING


def test_who_closes_a_watch_before_it_began_leaves_nothing(cache: Cache) -> None:
    bench = Bench(cache, Texts({"root": CONTENT}), wanted=())
    with bench.depot.want(job_of("1.json")):
        pass
    with bench.depot:
        while not bench.depot.is_idle:
            for message in bench.inbox.take(bench.depot.poll()):
                bench.depot.take(message)
    assert not bench.locator.asked
