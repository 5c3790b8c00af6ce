"""A node's side of the control: what it has is said to one scheduler after the other, and what they say is done."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, replace

from orchestrator.core.files import Digest
from orchestrator.depot.watch import Watch
from orchestrator.errors import GlmAriaError, NotAllowedError, TemporaryError
from orchestrator.events import Emit
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.gauge import OriginRests, Rests, WorkGauge
from orchestrator.swarm.control.guide import FleetGuide, Lead
from orchestrator.swarm.control.line import Scheduled, SchedulerLine
from orchestrator.swarm.control.loops import until_one_ends
from orchestrator.swarm.control.messages import Assign, FromNode, FromScheduler, Hello, TaskReport
from orchestrator.swarm.control.words import Words
from orchestrator.swarm.holdings import Holding, Holdings

_GONE = 10.0
"""Seconds without a scheduler after which the node goes on by itself."""
_WELCOME = 4.0
"""Seconds for a scheduler to answer the first words."""
_PAUSE, _REFUSED = 0.5, 5.0
"""Seconds between two rounds through all schedulers; after one in which all refused this node."""
_STEADY = 5.0
"""Seconds after its welcome for which a scheduler has to stay to be one on which a node can count."""
_SOON = 0.5
"""The part of a beat that is between two messages when there is news that can wait. That a lease is done cannot: its
node would stand idle until it has the next one."""
_GLANCE = 0.1
_ASKED = 4096
"""Blobs that are looked for at once in what is held."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Callbacks for what schedulers say of tasks. Called in the event loop: nothing blocks, but `task`, which is called
    in a thread, since a lock file of 32 MiB takes seconds to read. What was told later waits for it.

    `welcome` is told the name of the scheduler that has the word from now on.
    """

    task: Callable[[messages.TaskLock], None] = lambda _: None
    cancelled: Callable[[str], None] = lambda _: None
    drain: Callable[[bool], None] = lambda _: None
    welcome: Callable[[str], None] = lambda _: None


class Worker:
    """Speaks for a node. `run` is for one event loop; all else may be called by any thread.

    `hello` are its first words, without leases. `schedulers` are tried in their order, from the one that answered last.
    `rests` tells which origins want to be left alone; the whole fleet is to leave them alone then.
    """

    def __init__(  # noqa: PLR0913 - the clock is given by tests
        self,
        hello: Hello,
        schedulers: Sequence[Scheduled],
        holdings: Holdings,
        guide: FleetGuide,
        *,
        orders: Orders,
        emit: Emit,
        rests: Rests = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hello = hello
        self._schedulers = tuple(schedulers)
        self._holdings = holdings
        self._guide = guide
        self._orders = orders
        self._rests = OriginRests(rests, clock)
        self._clock = clock
        self._words = Words()
        self._inbox: list[tuple[object, FromNode]] = []
        self._gauge = WorkGauge(guide, clock)
        self._expected: list[Digest] = []
        self._tasks: list[str] = []
        self._forgotten: list[tuple[str, Collection[Digest]]] = []
        self._version = 0
        self._seq = 0
        self._lead = Lead(guide, [one.name for one in self._schedulers], emit)
        self._is_leaving = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._connected = asyncio.Event()
        self._welcomed: float | None = None

    # -- for other threads

    def follow(self, watch: Watch) -> None:
        """Look at the arrival of a blob."""
        self._gauge.watches[watch.job.digest] = watch
        self._wake()

    def expect(self, task: str, digests: Collection[Digest]) -> None:
        """These blobs are a task's, which this node takes part in. All that it has of them is said, or said again."""
        self._guide.expect(digests)
        self._expected += digests
        self._tasks.append(task)
        self._wake()

    def forget(self, task: str, digests: Collection[Digest]) -> None:
        """The fleet is done with a task; these blobs are no other's."""
        self._guide.forget(digests)
        self._forgotten.append((task, digests))
        self._wake()

    def join(self, task: str) -> None:
        """Take part in a task that this node was not chosen for."""
        self._say(("join", task), messages.Join(task))

    def report(self, report: TaskReport) -> None:
        """Tell where this node is with a task."""
        self._say(("task", report.task), report)

    def accuse(self, digest: Digest, piece: int, sender: str) -> None:
        """Tell who sent an altered piece."""
        self._say(("wrong", digest, piece, sender), messages.WrongPiece(digest, piece, sender))

    def give_back(self, code: str) -> None:
        """Give all leases back, for this reason."""
        leases = [given.lease for given in self._guide.leases]
        self._guide.drop(leases)
        for lease in leases:
            self._say(("failed", lease), messages.FailedWork(lease, code))

    @property
    def refusal(self) -> str:
        """The word of one of them, when all schedulers have refused this node; else empty."""
        return self._lead.refusal

    # -- in the event loop

    async def leave(self, seconds: float) -> None:
        """Say all that is to be said, and goodbye, upon which the other side ends; give up after so many seconds."""
        self._say("bye", messages.Bye())
        self._is_leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._connected.is_set():
                    await asyncio.sleep(_GLANCE)

    async def connected(self, seconds: float) -> bool:
        """Wait until a scheduler has answered; False once all of them refuse this node."""
        until = self._clock() + seconds
        while not self._connected.is_set() and self._clock() < until and not self.refusal:
            await asyncio.sleep(_GLANCE)
        return self._connected.is_set()

    async def run(self) -> None:
        """Speak to one scheduler after the other, until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        end = self._holdings.subscribe(self._wake)
        gone = asyncio.create_task(self._go_alone())
        try:
            while True:
                for index, scheduler in enumerate(self._schedulers):
                    self._welcomed = None
                    with contextlib.suppress(_Ended):
                        await self._session(scheduler)
                    self._connected.clear()
                    if self._is_leaving:  # it was said goodbye to
                        return
                    if self._welcomed is not None and self._clock() >= self._welcomed + _STEADY:
                        # The one that answered last is tried first.
                        self._schedulers = (*self._schedulers[index:], *self._schedulers[:index])
                        gone.cancel()
                        gone = asyncio.create_task(self._go_alone())
                        break
                    if gone.done():
                        self._lead.lost()
                else:
                    await asyncio.sleep(_REFUSED if self.refusal else _PAUSE)
        finally:
            gone.cancel()
            end()

    async def _go_alone(self) -> None:
        await asyncio.sleep(_GONE)
        if not self._connected.is_set():
            self._lead.lost()

    async def _session(self, scheduler: Scheduled) -> None:
        """Speak to a scheduler until it is gone. Raises _Ended."""
        hello = replace(self._hello, leases=tuple(one.lease for one in self._guide.leases))
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(_WELCOME):
                    line = await stack.enter_async_context(scheduler.line(hello))
                    heard = line.heard()
                    welcome = (await anext(heard))[1]
                if not isinstance(welcome, messages.Welcome):
                    raise TemporaryError(f"{scheduler.name} does not begin with a welcome")
                self._seq = max(self._seq, welcome.seen)
                self._words.begin(welcome.seen)
                self._welcomed = self._clock()
                self._connected.set()
                self._lead.welcomed(scheduler.name)
                self._orders.welcome(scheduler.name)
                await until_one_ends(self._speak(line, welcome.beat / 1000), self._listen(heard))
        except (GlmAriaError, TimeoutError, StopAsyncIteration, OSError) as error:
            if isinstance(error, NotAllowedError):
                self._lead.refused(scheduler.name, error.message)
            raise _Ended from error
        raise _Ended

    async def _listen(self, heard: AsyncIterator[tuple[int, FromScheduler | None]]) -> None:
        async for seen, told in heard:
            self._words.heard(seen)
            if isinstance(told, messages.TaskLock):
                await asyncio.to_thread(self._orders.task, told)
            elif told is not None:
                self._take(told)

    async def _speak(self, line: SchedulerLine, beat: float) -> None:
        beats_at, spoke = self._clock(), -beat
        # All come at once to a scheduler that was started again, and shall not beat at once from then on.
        wait = beat * random.uniform(_SOON, 1)  # noqa: S311 - no secret
        while True:
            await self._find()
            is_urgent = self._look()
            now = self._clock()
            beats = now >= beats_at
            if beats:
                beats_at, wait = now + wait, beat
            if beats or (self._words.has_more and (is_urgent or now >= spoke + beat * _SOON)):
                spoke = now
                leases = self._gauge.progress() if beats else ()
                for seq, said in self._words.messages(
                    self._seq + 1, leases, is_starving=beats and self._gauge.is_starving(), beats=beats
                ):
                    self._seq = seq
                    await line.say(seq, said)
            await asyncio.sleep(_GLANCE)
            due = min(beats_at, spoke + beat * _SOON) if self._words.has_more else beats_at
            if not self._inbox:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, due - self._clock())):
                        await self._changed.wait()
            self._changed.clear()

    def _take(self, told: FromScheduler) -> None:
        match told:
            case Assign():
                self._guide.lease(told)
            case messages.RevokedLease():
                self._guide.drop([told.lease])
            case messages.PeersToAsk():
                self._guide.name([peer for peer in told.peers if peer.node != self._hello.node])
            case messages.Shunned():
                self._guide.shun(told.nodes)
            case messages.TaskCancelled():
                self._orders.cancelled(told.task)
            case messages.DrainOrder():
                self._guide.drain()
                self._orders.drain(told.may_leave)
            case _:
                pass

    def _look(self) -> bool:
        """Look at what is new here, and put it into words. True when some of it cannot wait."""
        inbox, self._inbox = self._inbox, []
        for subject, said in inbox:
            is_kept = not isinstance(said, messages.FailedWork)
            self._words.put(subject, said, is_kept=is_kept)
            if isinstance(said, messages.Join):
                self._words.repeat(subject)
        news = self._holdings.news(self._version)
        self._version = news.version
        for holding in news.holdings:
            self._gauge.held[holding.digest] = holding
            if self._guide.expects(holding.digest):
                self._words.put(("blob", holding.digest), _progress_of(holding))
        for busy in self._rests.news():
            self._words.put(("busy", busy.host), busy, is_kept=False)
        done = [one for one in self._guide.leases if self._gauge.is_done(one)]
        for one in done:
            self._words.put(("held", one.lease), messages.HeldUnit(one.lease), is_kept=False)
        elsewhere = [one for one in self._guide.leases if one not in done and self._gauge.is_elsewhere(one)]
        for one in elsewhere:
            self._words.put(("failed", one.lease), messages.FailedWork(one.lease, messages.ELSEWHERE), is_kept=False)
        if done or elsewhere:
            self._guide.drop(one.lease for one in (*done, *elsewhere))
        return bool(inbox or done or elsewhere)

    async def _find(self) -> None:
        """Look for what is here of the blobs of tasks. A scheduler that tells a task again may know nothing of them."""
        forgotten, self._forgotten = self._forgotten, []
        for task, digests in forgotten:
            self._words.forget(("task", task))
            self._words.forget(("join", task))
            for digest in digests:
                self._words.forget(("blob", digest))
                self._gauge.forget(digest)
        expected, self._expected = self._expected, []
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            # Who does other work first says so: it gets no leases of this yet.
            self._words.begin_with(("task", task), TaskReport(task, messages.NodePhase.WAITING))
            self._words.repeat(("task", task))
        for digest in expected:
            self._words.repeat(("blob", digest))
            if (holding := self._gauge.held.get(digest)) is not None:
                self._words.put(("blob", digest), _progress_of(holding))
        for start in range(0, len(expected), _ASKED):
            part = expected[start : start + _ASKED]
            with contextlib.suppress(GlmAriaError):  # what cannot be read is not passed on
                for digest in await asyncio.to_thread(self._holdings.whole, part):
                    self._words.put(("blob", digest), messages.BlobProgress(digest, b"", is_whole=True))

    def _say(self, subject: object, said: FromNode) -> None:
        self._inbox.append((subject, said))
        self._wake()

    def _wake(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._changed.set)


def _progress_of(holding: Holding) -> messages.BlobProgress:
    checked = b"" if holding.is_whole else bytes(holding.checked)
    return messages.BlobProgress(holding.digest, checked, holding.is_whole)


class _Ended(Exception):  # noqa: N818 - no error: the next scheduler is tried
    """A scheduler is gone, or was never there."""
