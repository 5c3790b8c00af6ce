"""A node's side of the control, with schedulers in the same loop and real holdings in its place."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from orchestrator.core.extents import Ranges
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.depot.watch import Arrival, Watch
from orchestrator.errors import NotAllowedError, TemporaryError
from orchestrator.events import Event, FleetNews, Notice
from orchestrator.swarm.control import messages
from orchestrator.swarm.control import worker as worker_module
from orchestrator.swarm.control.guide import FleetGuide
from orchestrator.swarm.control.line import LocalScheduler, SchedulerLine
from orchestrator.swarm.control.messages import Assign, BlobProgress, HeldUnit, Hello, PeersToAsk, Progress
from orchestrator.swarm.control.worker import Orders, Worker
from orchestrator.swarm.guides import Guide
from orchestrator.swarm.holdings import Holding, HoldingNews, Peer, Readable
from orchestrator.swarm.units import Bits
from tests.swarm.control.cores import NotingCore

LARGE = Digest(Algorithm.SHA256, "ab" * 32)
SMALL = Digest(Algorithm.GIT_SHA1, "cd" * 20)
PIECE = 4 << 20
OTHER = Peer("n2", "http://n2")


def job(digest: Digest = LARGE, size: int = 4 * PIECE, *, is_restricted: bool = False) -> Job:
    return Job(digest, size, True, (), is_restricted)


class PlainHoldings:
    """Holdings of which a test says what there is."""

    def __init__(self) -> None:
        self.told: dict[Digest, tuple[int, Holding]] = {}
        self.stored: dict[Digest, int] = {}
        self.version = 0
        self.call: Callable[[], None] = lambda: None

    def have(self, digest: Digest, size: int, pieces: Collection[int], *, is_whole: bool = False) -> None:
        self.version += 1
        count = -(-size // PIECE)
        self.told[digest] = (self.version, Holding(digest, size, Bits.of(count, pieces), is_whole))
        self.call()

    def news(self, after: int) -> HoldingNews:
        return HoldingNews(self.version, [one for version, one in self.told.values() if version > after])

    def subscribe(self, call: Callable[[], None]) -> Callable[[], None]:
        self.call = call
        return lambda: None

    def whole(self, digests: Collection[Digest]) -> Mapping[Digest, int]:
        return {digest: self.stored[digest] for digest in digests if digest in self.stored}

    def read(self, digest: Digest, start: int, end: int) -> Readable | None:
        raise NotImplementedError

    def proven_pieces(self, digest: Digest) -> bytes | None:
        raise NotImplementedError


class Everything:
    """A guide that lets its node fetch all."""

    def __init__(self, known: Callable[[], Sequence[Peer]]) -> None:
        self.known = known

    def origin(self, job: Job) -> Ranges | None:
        return None

    def peers(self) -> Sequence[Peer]:
        return self.known()


class Scheduler:
    """A scheduler in this process that can be down, and refuse its nodes."""

    def __init__(self, core: NotingCore, name: str) -> None:
        self.core, self.name = core, name
        self.is_down = False
        self.is_silent = False
        self.refuses = False
        self.welcomes_only = False
        self.asked = 0
        self._lines: list[asyncio.Task[object] | None] = []

    @contextlib.asynccontextmanager
    async def line(self, hello: Hello) -> AsyncIterator[SchedulerLine]:
        self.asked += 1
        if self.is_down:
            raise TemporaryError("nobody listens there")
        if self.refuses:
            raise NotAllowedError("another key")
        if self.is_silent:
            await asyncio.Event().wait()
        async with LocalScheduler(self.core).line(hello) as line:
            yield cast(SchedulerLine, _Cut(line, self))

    def calls(self) -> contextlib.AbstractAsyncContextManager[object]:
        raise NotImplementedError


class _Cut:
    def __init__(self, line: SchedulerLine, scheduler: Scheduler) -> None:
        self._line, self._scheduler = line, scheduler

    async def say(self, seq: int, said: messages.FromNode) -> None:
        if self._scheduler.is_down:
            raise TemporaryError("it is down")
        await self._line.say(seq, said)

    async def heard(self) -> AsyncIterator[tuple[int, messages.FromScheduler | None]]:
        async for one in self._line.heard():
            if self._scheduler.is_down:
                raise TemporaryError("it is down")
            yield one
            if self._scheduler.welcomes_only:
                return


@dataclass
class Node:
    """A worker with two schedulers."""

    cores: tuple[NotingCore, NotingCore] = field(default_factory=lambda: (NotingCore(), NotingCore()))
    holdings: PlainHoldings = field(default_factory=PlainHoldings)
    events: list[Event] = field(default_factory=list)
    stirred: int = 0
    tasks: list[messages.TaskLock] = field(default_factory=list)
    rests: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.schedulers = [Scheduler(core, f"s{number}") for number, core in enumerate(self.cores)]
        make: Callable[[Callable[[], Sequence[Peer]]], Guide] = Everything
        self.guide = FleetGuide(make, share_restricted=False)
        self.guide.stir = self._stir
        self.worker = Worker(
            Hello("n1", 7, "http://n1"),
            cast(list[LocalScheduler], self.schedulers),
            self.holdings,
            self.guide,
            orders=Orders(task=self.tasks.append),
            emit=self.events.append,
            rests=lambda: self.rests,
        )

    def _stir(self) -> None:
        self.stirred += 1


def run(work: Callable[[Node], Awaitable[None]]) -> Node:
    async def begin() -> Node:
        node = Node()
        async with asyncio.timeout(30):
            speaking = asyncio.create_task(node.worker.run())
            try:
                await work(node)
            finally:
                speaking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await speaking
        return node

    return asyncio.run(begin())


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.005)


def blobs(core: NotingCore) -> list[BlobProgress]:
    return [blob for one in core.heard(Progress) if isinstance(one, Progress) for blob in one.blobs]


def test_a_node_fetches_from_an_origin_what_it_has_a_lease_of_and_asks_the_peers_it_is_named() -> None:
    async def work(node: Node) -> None:
        core = node.cores[0]
        assert node.guide.origin(job()) is None
        node.worker.expect("task", [LARGE, SMALL])
        assert node.guide.origin(job()) == ()
        assert node.guide.origin(job(is_restricted=True)) is None
        await core.until(lambda: "n1" in core.sends)
        core.sends["n1"](Assign("l1", LARGE, 0, 0, 2 * PIECE))
        core.sends["n1"](Assign("l2", bundle=(SMALL,)))
        core.sends["n1"](PeersToAsk((OTHER, Peer("n1", "http://n1"))))
        await until(lambda: len(node.guide.peers()) == 1 and len(node.guide.leases) == 2)
        assert node.guide.origin(job()) == ((0, 2 * PIECE),)
        assert node.guide.origin(job(SMALL, 10)) == ((0, 1 << 62),)
        assert node.guide.peers() == [OTHER]
        core.sends["n1"](messages.RevokedLease("l2"))
        core.sends["n1"](messages.Shunned(("n2",)))
        await until(lambda: not node.guide.peers() and node.guide.origin(job(SMALL, 10)) == ())
        assert node.stirred >= 5

    run(work)


def test_what_is_checked_is_told_and_ends_the_lease() -> None:
    async def work(node: Node) -> None:
        core = node.cores[0]
        node.worker.expect("task", [LARGE, SMALL])
        await core.until(lambda: "n1" in core.sends)
        core.sends["n1"](Assign("l1", LARGE, 0, 0, 2 * PIECE))
        core.sends["n1"](Assign("l2", bundle=(SMALL,)))
        await until(lambda: len(node.guide.leases) == 2)
        node.holdings.have(LARGE, 4 * PIECE, [0])
        await core.until(lambda: bool(blobs(core)))
        assert core.heard(HeldUnit) == []
        node.holdings.have(LARGE, 4 * PIECE, [0, 1])
        node.holdings.have(SMALL, 10, [0], is_whole=True)
        await core.until(lambda: len(core.heard(HeldUnit)) == 2)
        assert set(core.heard(HeldUnit)) == {HeldUnit("l1"), HeldUnit("l2")}
        assert node.guide.leases == ()
        await core.until(lambda: BlobProgress(SMALL, b"", True) in blobs(core))
        assert BlobProgress(LARGE, b"\3") in blobs(core)

    run(work)


def test_blobs_of_no_task_are_nobody_elses_matter_and_what_the_cache_has_is_told() -> None:
    async def work(node: Node) -> None:
        core = node.cores[0]
        node.holdings.have(SMALL, 10, [0], is_whole=True)
        node.holdings.stored[LARGE] = 4 * PIECE
        await core.until(lambda: len(core.heard(Progress)) >= 2)
        assert blobs(core) == []
        node.worker.expect("task", [LARGE, SMALL])
        await core.until(lambda: len(blobs(core)) == 2)
        assert set(blobs(core)) == {BlobProgress(LARGE, b"", True), BlobProgress(SMALL, b"", True)}

    run(work)


def test_another_scheduler_is_told_what_the_first_one_did_not_pass_on() -> None:
    async def work(node: Node) -> None:
        first, second = node.cores
        node.worker.expect("task", [LARGE, SMALL])
        node.worker.join("task")
        await first.until(lambda: "n1" in first.sends)
        first.sends["n1"](Assign("l1", LARGE, 0, 0, 2 * PIECE))
        node.holdings.have(LARGE, 4 * PIECE, [3])
        await first.until(lambda: len(blobs(first)) == 1)
        second.seen["n1", 7] = first.seen["n1", 7]
        node.holdings.have(SMALL, 10, [0], is_whole=True)
        await first.until(lambda: len(blobs(first)) == 2)
        node.schedulers[0].is_down = True
        await second.until(lambda: bool(blobs(second)))
        assert second.hellos[0].leases == ("l1",)
        assert blobs(second) == [BlobProgress(SMALL, b"", True)]
        assert not second.heard(messages.Join)
        assert [event for event in node.events if isinstance(event, Notice)] == []

    run(work)


def test_without_schedulers_the_other_guide_has_the_word_until_one_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_GONE", 0.2)
    monkeypatch.setattr(worker_module, "_PAUSE", 0.02)

    async def work(node: Node) -> None:
        core = node.cores[0]
        node.worker.expect("task", [LARGE])
        await core.until(lambda: "n1" in core.sends)
        core.sends["n1"](PeersToAsk((OTHER,)))
        await until(lambda: bool(node.guide.peers()))
        for one in node.schedulers:
            one.is_down = True
        for _ in range(2):
            await until(lambda: node.guide.is_alone)
            assert node.guide.origin(job()) is None
            assert node.guide.peers() == [OTHER]
            node.schedulers[1].is_down = False
            await until(lambda: not node.guide.is_alone)
            assert node.guide.origin(job()) == ()
            node.schedulers[1].is_down = True

    node = run(work)
    assert [one.code for one in node.events if isinstance(one, Notice)] == ["fleet-without-scheduler"]


def test_a_scheduler_that_always_ends_is_none_and_is_not_asked_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "_GONE", 0.2)
    monkeypatch.setattr(worker_module, "_PAUSE", 0.02)

    async def work(node: Node) -> None:
        for one in node.schedulers:
            one.welcomes_only = True
        node.worker.expect("task", [LARGE])
        await until(lambda: node.guide.is_alone)
        assert node.guide.origin(job()) is None
        assert len(node.cores[0].hellos) < 50
        assert len(node.cores[1].hellos) >= 1

    run(work)


def test_a_scheduler_that_accepts_and_says_nothing_is_followed_by_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_WELCOME", 0.05)

    async def work(node: Node) -> None:
        node.schedulers[0].is_silent = True
        assert await node.worker.connected(20)
        assert node.cores[1].hellos

    run(work)


def test_a_node_that_all_schedulers_refuse_does_not_wait_for_them_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "_REFUSED", 0.01)

    async def work(node: Node) -> None:
        for one in node.schedulers:
            one.refuses = True
        assert not await node.worker.connected(60)
        asked = node.schedulers[0].asked
        assert (node.worker.refusal, node.guide.is_alone) == ("another key", True)
        await until(lambda: node.schedulers[0].asked > asked + 3)
        node.schedulers[1].refuses = False
        await until(lambda: not node.guide.is_alone)

    node = run(work)
    assert [one.code for one in node.events if isinstance(one, Notice)] == ["fleet-refused"] * 2
    assert [one.message for one in node.events if isinstance(one, FleetNews)] == ["plans come from s1"]


def test_a_node_that_is_drained_fetches_what_nobody_has_a_lease_of() -> None:
    async def work(node: Node) -> None:
        core = node.cores[0]
        node.worker.expect("task", [LARGE])
        await core.until(lambda: "n1" in core.sends)
        assert node.guide.origin(job()) == ()
        core.sends["n1"](messages.DrainOrder())
        await until(lambda: node.guide.origin(job()) is None)
        assert not node.guide.is_alone

    run(work)


def test_goodbye_is_the_last_word_and_nobody_comes_back_after_it() -> None:
    async def work(node: Node) -> None:
        core = node.cores[0]
        assert await node.worker.connected(20)
        await node.worker.leave(20)
        assert isinstance(core.said[-1][2], messages.Bye)
        assert core.left == ["n1"]
        assert [len(one.hellos) for one in node.cores] == [1, 0]


def test_what_the_fleet_is_done_with_is_nobody_elses_matter_any_more() -> None:
    async def work(node: Node) -> None:
        core = node.cores[0]
        node.worker.expect("task", [LARGE, SMALL])
        node.holdings.have(LARGE, 4 * PIECE, [0])
        node.holdings.have(SMALL, 10, [0], is_whole=True)
        await core.until(lambda: len(blobs(core)) == 2)
        node.worker.forget("task", [LARGE])
        assert node.guide.origin(job()) is None
        assert node.guide.origin(job(SMALL, 10)) == ()
        node.schedulers[0].is_down = True
        await node.cores[1].until(lambda: bool(blobs(node.cores[1])))
        assert blobs(node.cores[1]) == [BlobProgress(SMALL, b"", True)]

    run(work)


def test_leases_are_given_back() -> None:
    async def work(node: Node) -> None:
        core = node.cores[0]
        node.worker.expect("task", [LARGE])
        await core.until(lambda: "n1" in core.sends)
        core.sends["n1"](Assign("l1", LARGE, 0, 0, 2 * PIECE))
        await until(lambda: bool(node.guide.leases))
        node.worker.give_back("no-space")
        assert node.guide.origin(job()) == ()
        await core.until(lambda: bool(core.heard(messages.FailedWork)))
        assert core.heard(messages.FailedWork) == [messages.FailedWork("l1", "no-space")]

    run(work)


def test_what_another_process_of_the_cache_fetches_is_given_back_at_once() -> None:
    async def work(node: Node) -> None:
        core = node.cores[0]
        node.worker.expect("task", [LARGE, SMALL])
        await core.until(lambda: "n1" in core.sends)
        for digest in (LARGE, SMALL):
            arrival = Arrival(job(digest), lambda _: Path(), threading.Lock(), is_elsewhere=digest == LARGE)
            node.worker.follow(Watch(arrival, lambda _: None, ()))
        core.sends["n1"](Assign("l1", LARGE, 0, 0, 2 * PIECE))
        core.sends["n1"](Assign("l2", bundle=(SMALL,)))
        await core.until(lambda: bool(core.heard(messages.FailedWork)))
        assert core.heard(messages.FailedWork) == [messages.FailedWork("l1", messages.ELSEWHERE)]
        assert [one.lease for one in node.guide.leases] == ["l2"]

    run(work)


def test_a_task_is_passed_on_and_its_report_is_told() -> None:
    async def work(node: Node) -> None:
        core = node.cores[0]
        await core.until(lambda: "n1" in core.sends)
        core.sends["n1"](messages.TaskLock("task", "version = 1\n"))
        await until(lambda: bool(node.tasks))
        report = messages.TaskReport("task", messages.NodePhase.PLACED, "", 1, 2, 3, {"n2": 3})
        node.worker.report(report)
        node.worker.accuse(LARGE, 3, "n2")
        await core.until(lambda: bool(core.heard(messages.WrongPiece)))
        assert core.heard(messages.TaskReport) == [report]

    run(work)


def test_an_origin_that_wants_to_be_left_alone_is_told_once_and_again_when_that_is_for_longer() -> None:
    async def work(node: Node) -> None:
        core = node.cores[0]
        now = time.monotonic()
        node.worker._rests._clock = lambda: now  # the time does not go on
        node.rests["huggingface"] = 8.2
        await core.until(lambda: len(core.heard(messages.OriginBusy)) == 1)
        beats = len(core.heard(Progress))
        await core.until(lambda: len(core.heard(Progress)) > beats + 2)
        node.rests["huggingface"] = 30.0
        await core.until(lambda: len(core.heard(messages.OriginBusy)) == 2)
        assert core.heard(messages.OriginBusy) == [
            messages.OriginBusy("huggingface", 9),
            messages.OriginBusy("huggingface", 30),
        ]

    run(work)
