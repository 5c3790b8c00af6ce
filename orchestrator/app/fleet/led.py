"""A node that schedulers lead: what it shares, the peers that it is named, and its words to the schedulers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from orchestrator.app.fleet.control import Calling, HostedScheduler, schedulers_for
from orchestrator.app.fleet.orders import LOCK, OrderBook, name_of
from orchestrator.app.opening import OpenCall
from orchestrator.app.peers.company import SwarmCompany, accompanied, awaited, passing_node, reached, stay, tell_peers
from orchestrator.app.peers.keys import needed_keys
from orchestrator.app.peers.this_node import this_node
from orchestrator.cache.identity import cache_id
from orchestrator.core.files import Digest
from orchestrator.core.sizes import format_duration
from orchestrator.core.sources import Sent, node_of, total
from orchestrator.depot.candidates import Choosing
from orchestrator.depot.company import Doubt, Engine
from orchestrator.depot.watch import Watch
from orchestrator.errors import Interrupted, NotAllowedError, NotFoundError, TemporaryError
from orchestrator.events import Emit, Event, FileProgress, FleetNews, SourceRates
from orchestrator.lists.lockfile import parse_lock
from orchestrator.mirrors.sources import Sources
from orchestrator.pulling.report import FileState, PullReport
from orchestrator.settings import Settings
from orchestrator.swarm.control.guide import FleetGuide
from orchestrator.swarm.control.loops import LoopThread
from orchestrator.swarm.control.messages import KNOWN, Hello, NodePhase, Submission, TaskLock, TaskReport
from orchestrator.swarm.control.worker import Worker
from orchestrator.swarm.holdings import Peer
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.swarm.unguided import Unguided
from orchestrator.system.signals import Stop

_GOODBYE = 3.0
_LOOK = 0.2
_SHORT = 1.0
"""Seconds for which a node stays without a word."""
_STAYS = "done; stays until others have what only this one has, at most {}; Ctrl-C ends it"
_HERE = (FileState.FETCHED, FileState.ALREADY, FileState.LINKED)


@dataclass(frozen=True, slots=True)
class LedCompany:
    """The `Company` of a depot that schedulers lead."""

    company: SwarmCompany
    guide: FleetGuide
    worker: Worker

    @property
    def is_awaited(self) -> bool:
        """True while others are in a dispute over a blob that this node has proven."""
        return awaited(self.company)

    def around(self, locator: Choosing) -> Choosing:
        """See `depot.company.Company`."""
        return self.company.around(locator)

    def join(self, engine: Engine) -> None:
        """See `depot.company.Company`."""
        self.guide.stir, self.guide.distrust = engine.stir, self.company.peers.shun
        self.company.join(engine)

    def follow(self, watch: Watch) -> None:
        """See `depot.company.Company`."""
        self.company.follow(watch)
        self.worker.follow(watch)

    def doubt(self, digest: Digest, trusted: str) -> Doubt | None:
        """See `depot.company.Company`."""
        return self.company.doubt(digest, trusted)


class Fuse:
    """The stop of a run when an error ended what it waits for: only a bug does that, and it would wait for ever."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._error: BaseException | None = None

    def see(self, ended: Future[None]) -> None:
        """See how something ended."""
        if not ended.cancelled() and (error := ended.exception()) is not None:
            self._error = error
            self._stop.set()

    def check(self) -> None:
        """Raise the error, if there was one."""
        if self._error is not None:
            raise self._error


class Linger:
    """The seconds for which a node that is done stays for others: all that is left since it was first asked."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    @property
    def left(self) -> float:
        """The seconds that there still are; they run from now on."""
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        return max(0.0, self._until - time.monotonic())


@dataclass(frozen=True, slots=True)
class LedNode:
    """A node of a fleet, as long as it runs."""

    name: str
    company: LedCompany
    calling: Calling
    inbox: OrderBook
    keys: FleetKeys
    own: HostedScheduler | None
    linger: Linger

    def is_led(self, seconds: float) -> bool:
        """True once a scheduler has answered; False when none does for so long."""
        return self.calling.loop.run(self.company.worker.connected(seconds)).result()

    @property
    def refusal(self) -> NotAllowedError | None:
        """The error for a node that all schedulers have refused from the beginning."""
        if self.inbox.welcomes or not (word := self.company.worker.refusal):
            return None
        return NotAllowedError(word, hint="give each machine the same key: glm-aria fleet key --help")

    @property
    def _may_leave(self) -> bool:
        is_free = self.inbox.may_leave.is_set() and not self.company.is_awaited
        return is_free or self.company.guide.is_alone

    def leave(self, stop: Stop, emit: Emit) -> None:
        """Stay until others have what this node alone has, as long as it lingers, or until the user stops it: what it
        was to do is done all the same."""
        stop.is_abrupt = False
        began, asked, is_told = time.monotonic(), 0, False
        while self.linger.left and not (stop.wait(_LOOK) or self._may_leave):
            if not is_told and time.monotonic() > began + _SHORT:
                is_told = True
                emit(FleetNews("staying", _STAYS.format(format_duration(self.linger.left)), is_idle=True))
            if (welcomes := self.inbox.welcomes) != asked:  # each scheduler is to know it
                with contextlib.suppress(NotFoundError, TemporaryError, Interrupted):
                    self.calling.do(lambda calls: calls.drain(self.name), stop)
                    asked = welcomes
        if self.company.guide.is_alone and not stop.is_set():
            stay(self.company.company, self.name, int(self.linger.left), stop, emit)


@contextlib.contextmanager
def led(
    settings: Settings,
    opened: OpenCall,
    loop: LoopThread,
    stop: Stop,
    emit: Emit,
    *,
    takes_tasks: bool = False,
    may_host: bool = False,
) -> Iterator[LedNode]:
    """A node that is reached by its peers, and speaks to schedulers. With `may_host` it is one itself where it should
    be. Raises UsageError where none is named, ConfigError without a key of the fleet, CannotCreateError when nothing
    can listen."""
    keys = needed_keys(settings)
    # One that takes tasks is the same after a restart; of those that pull there may be several at once.
    zone, shared = settings.fleet_zone, cache_id(opened.cache.state_dir)
    me = this_node(settings.cache_dir, zone=zone, cache=shared) if takes_tasks else passing_node(zone, shared)
    restricted = settings.fleet_share_restricted
    with contextlib.ExitStack() as stack:
        fuse = Fuse(stop)
        places = schedulers_for(settings, me.node, loop, emit, may_host=may_host, ended=fuse.see)
        schedulers, own = stack.enter_context(places)
        if own is None:
            emit(FleetNews("scheduler-asked", f"asks {', '.join(one.name for one in schedulers)} for work"))
        # What is alone asks those that were named last.
        unguided: list[Unguided] = []

        def make(known: Callable[[], Sequence[Peer]]) -> Unguided:
            unguided.append(Unguided(me.node, known, cache=me.cache))
            return unguided[0]

        guide = FleetGuide(make, share_restricted=restricted)
        workers: list[Worker] = []

        def accuse(digest: Digest, piece: int, sender: str) -> None:
            for worker in workers:
                worker.accuse(digest, piece, sender)

        company = stack.enter_context(
            accompanied(me.node, guide, opened.cache, keys, settings=settings, emit=emit, wrong=accuse)
        )
        unguided[0].see(company.peers.seen, company.sharing.checked, company.rests)
        address = stack.enter_context(reached(company.sharing, me, keys, settings, emit))
        tell_peers(company.peers, address.url, emit)
        hello = Hello(
            me.node,
            me.epoch,
            address.url,
            me.zone,
            shares_restricted=restricted,
            takes_tasks=takes_tasks,
            cache=me.cache,
        )
        inbox = OrderBook(keys, emit)
        rests = partial(rests_of, opened.sources)
        worker = Worker(hello, schedulers, company.sharing, guide, orders=inbox.orders(), emit=emit, rests=rests)
        workers.append(worker)
        calling = Calling(loop, schedulers)

        async def submit(task: TaskLock) -> None:
            name = await asyncio.to_thread(lambda: name_of(parse_lock(task.lock, LOCK)))
            asked = Submission(
                f"{KNOWN}{task.task}", name, "", task.priority, task.lock, "", task.is_restricted, task.seal
            )
            await calling.ask(lambda calls: calls.submit(asked))
            worker.join(task.task)

        def forget(task: str, digests: Collection[Digest]) -> None:
            worker.forget(task, digests)
            company.forget(digests)

        inbox.expect, inbox.submit, inbox.forget = worker.expect, submit, forget
        speaking = loop.run(worker.run())
        stack.callback(speaking.cancel)
        speaking.add_done_callback(fuse.see)
        linger = Linger(settings.fleet_linger)
        yield LedNode(me.node, LedCompany(company, guide, worker), calling, inbox, keys, own, linger)
        fuse.check()
        loop.run(worker.leave(_GOODBYE)).result()
        if own is not None:
            _host_on(own, linger, stop)


def rests_of(sources: Sources) -> Mapping[str, float]:
    """The kinds of sites whose root wants to be left alone, each with the seconds that are left of that: of registries,
    the longest. Where a mirror stands in, that is no matter of the fleet."""
    alone = Counter(source.kind for source in sources.ordered)
    sites = (root for kind, root in sources.roots.items() if alone[kind] <= 1 and not kind.has_no_files)
    left: dict[str, float] = {}
    for site in (*sites, *tuple(sources.met.values())):
        seconds = sources.patient.busy.left(site.url)
        left[site.kind.name] = max(seconds, left.get(site.kind.name, 0.0))
    return {kind: seconds for kind, seconds in left.items() if seconds}


def _host_on(own: HostedScheduler, linger: Linger, stop: Stop) -> None:
    stop.is_abrupt = False
    while own.is_needed and linger.left and not stop.wait(_LOOK):
        pass


class TaskProgress:
    """The progress of a task at this node, as the events of its pull tell it, for the schedulers. `sent`: the bytes
    that came from each source before that, such as for its lock. Thread-safe."""

    def __init__(self, task: str, node: LedNode, emit: Emit, sent: Sent = MappingProxyType({})) -> None:
        self._task = task
        self._worker = node.company.worker
        self._emit = emit
        self._lock = threading.Lock()
        self._before: Sent = {}
        self._sent = sent
        self._done: dict[Digest, int] = {}

    def begin(self) -> None:
        """A pull of the task begins, maybe another one: what came by those before counts further."""
        self._before, self._sent = total((self._before, self._sent)), {}
        self.tell(NodePhase.FETCHING)

    def take(self, event: Event) -> None:
        """An `Emit` that also tells the schedulers."""
        self._emit(event)
        if isinstance(event, SourceRates):
            self._sent = dict(event.sent)
            self.tell(NodePhase.FETCHING)
        elif isinstance(event, FileProgress):
            with self._lock:
                self._done[event.digest] = event.done

    def end(self, report: PullReport) -> None:
        """Tell the schedulers how the pull ended. What was to be fetched for others is theirs again."""
        with self._lock:
            for model in report.models:
                self._done |= {one.file.digest: one.file.size for one in model.files if one.state in _HERE}
        error = next((model.error for model in report.models if model.error is not None), None)
        if error is not None:
            self._worker.give_back(error.code)
        self.tell(NodePhase.FAILED if error else NodePhase.PLACED, error.code if error else "")

    def tell(self, phase: NodePhase, code: str = "") -> None:
        """Tell the schedulers this phase, with the bytes so far."""
        sent = total((self._before, self._sent))
        senders = {node: count for source, count in sent.items() if (node := node_of(source)) is not None}
        outside = sum(count for source, count in sent.items() if node_of(source) is None)
        with self._lock:
            done = sum(self._done.values())
        report = TaskReport(self._task, phase, code, done, outside, sum(senders.values()), senders)
        self._worker.report(report)
