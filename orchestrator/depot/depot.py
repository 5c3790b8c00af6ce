"""Jobs in, verified files out: transfer and verification beside each other, and a second chance for bad bytes.

Anybody may want a blob, from any thread, and it is fetched once for all. One thread drives it all: a run's own, or that
of a `Resident`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress

from orchestrator.aria2.endpoint import Remark
from orchestrator.cache.staging import Staging
from orchestrator.core.extents import Extent, Extents, Ranges
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.depot.admission import Claims
from orchestrator.depot.candidates import Choosing
from orchestrator.depot.disputes import Disputes
from orchestrator.depot.memory import homes, remember
from orchestrator.depot.messages import Again, DepotMessage, Drop, Ended, Proven, Wish, Wrong, event_of
from orchestrator.depot.mover import Mover
from orchestrator.depot.verifying import Verifier
from orchestrator.depot.watch import Arrival, State, Watch
from orchestrator.disk.writeback import Writeback
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, FileProgress, Phase
from orchestrator.mirrors.sources import Sources
from orchestrator.proof.verified import VerifiedFile
from orchestrator.system.inbox import Sink
from orchestrator.system.signals import Stop
from orchestrator.transfer import journal
from orchestrator.transfer.interface import (
    Already,
    Fetched,
    Lost,
    Moved,
    Pace,
    Paused,
    Rangeless,
    TakenBack,
    TransferEvent,
)
from orchestrator.transfer.limits import usual
from orchestrator.transfer.spans import SMALL


class Depot:
    """Fetches what is wanted. Use as a context manager, in which one thread calls `poll` whenever it is due, and hands
    what falls into the inbox to `take`; it may be entered again. Others only `want`, at any time.

    `is_placed` says whether another run placed a blob meanwhile. A job's claim is held from its start until `release`,
    so that nobody else writes the part before it is placed, or until nobody wants it.
    """

    def __init__(  # noqa: PLR0913 - the objects that move bytes, and four hooks
        self,
        locator: Choosing,
        sources: Sources,
        staging: Staging,
        mover: Mover,
        *,
        inbox: Sink[DepotMessage],
        is_placed: Callable[[Job], bool],
        stop: Stop,
        emit: Emit,
    ) -> None:
        # The company stirs as soon as it is joined.
        self._stir: Callable[[], None] = lambda: None
        self._locator = mover.accompanied(locator, self)
        self._sources = sources
        self._staging = staging
        self._mover = mover
        self._inbox = inbox
        self._stop = stop
        self._emit = emit
        self._lock = threading.Lock()
        # One object each for all.
        self._part_of, self._tell_of = staging.part, self._tell_wanted
        self._arrivals: dict[Digest, Arrival] = {}
        self._open: set[Digest] = set()
        self._claims = Claims(staging, is_placed, emit)
        self._stack = ExitStack()

    def __enter__(self) -> Depot:
        with ExitStack() as stack:
            stack.callback(self._claims.close)
            self._writeback = Writeback()
            stack.callback(self._writeback.close)
            self._verifier = Verifier(self._inbox, self._stop, self._emit, self._staging.is_ours)
            stack.callback(self._verifier.close)
            self._disputes = Disputes(self._inbox, self._locator, self._sources, self._staging, self._emit)
            stack.callback(self._disputes.close)
            with self._lock:
                large = sum(arrival.job.size >= SMALL for arrival in self._arrivals.values())
            self._transfer = stack.enter_context(
                self._mover.open(
                    self._locator,
                    self._staging.folder,
                    part=lambda job: self._staging.part(job.digest),
                    admit=lambda job: self._claims.admit(self._arrivals[job.digest]),
                    tell=self._told,
                    wake=self._inbox.wake,
                    home=homes(self._sources, usual(large)),
                )
            )
            stack.callback(lambda: remember(self._transfer, self._sources))
            self._stir = self._transfer.stir
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    # -- for everybody -------------------------------------------------------------------------------------------------

    def want(self, job: Job, *, ranges: Ranges | None = None) -> Watch:
        """Have a blob fetched, or only some `ranges` of it, until the watch is closed. Jobs begin in the order given.

        Of ranges only, the part stays sparse, and is never proven; who wants the whole later goes on from there. Who
        wants no range at all watches what others have fetched: nothing is begun for that, nor kept when nobody else
        wants the job any more, which is WAITING again then.
        """
        digest, is_wanted = job.digest, ranges != ()
        with self._lock:
            is_new = digest not in self._arrivals
            arrival = self._arrivals.setdefault(digest, Arrival(job, self._part_of, self._lock))
            if is_wanted and not arrival.is_wanted:
                self._open.add(digest)
            watch = Watch(arrival, self._tell_of, ranges)
            arrival.watches.append(watch)
            arrival.wants += is_wanted
        if is_wanted:
            self._tell_wanted(arrival)
        if is_new and is_wanted and self._mover.company is not None:
            self._mover.company.follow(self.want(job, ranges=()))
        return watch

    def drop(self, digest: Digest, ranges: Ranges, *, epoch: int | None = None) -> None:
        """Take bytes of a job that still arrives back, to be fetched again: they are known to be wrong.

        With `epoch`, that of a watch before the bytes were looked at, nothing is done if others were taken back since:
        these may be replaced already. A blob that is whole is proven, or disputed, by its digest alone.
        """
        self._inbox.put(Drop(digest, ranges, epoch))

    def stir(self) -> None:
        """Look soon what the sources may be asked for now: a reach has grown, say."""
        self._stir()

    def _tell_wanted(self, arrival: Arrival) -> None:
        with self._lock:
            is_told, arrival.is_told = arrival.is_told, True
        if not is_told:
            self._inbox.put(Wish(arrival.job))

    # -- for the thread that drives it ---------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """True when every job has ended, or has all that is wanted of it."""
        return not self._open

    def poll(self) -> float:
        """Drive the transfer. Returns when to call again, in monotonic seconds, or before that when something falls
        into the inbox. Raises DaemonError when the daemon is lost for good."""
        return min(self._transfer.poll(), self._disputes.poll())

    def take(self, message: DepotMessage) -> Ended | None:
        """See to what fell into the inbox; how a job ended, if it did."""
        match message:
            case Pace() | Remark() | Rangeless():
                self._emit(event_of(message))
            case Wish() | Again():
                self._look(message)
            case Moved():
                self._moved(message)
            case TakenBack():
                self._verifier.forget(message.job.digest)
            case Drop():
                self._take_back(message)
            case Paused():
                self._paused(message.job.digest)
            case Fetched(proof=VerifiedFile() as proof):
                return self.take(Proven(message.job, proof, message.sent))
            case Fetched():
                self._verifier.fetched(message)
            case Wrong(Fetched(job)):
                if (doubt := self._mover.doubt(job, self._locator)) is not None:
                    self._arrivals[job.digest].take_back(state=State.SUSPECT)
                self._disputes.open(message, doubt)
            case Proven() if self._disputes.compare_dropped(message):
                pass
            case Proven() | Already() | Lost():
                self._end(message)
                return message
        return None

    def wants(self, job: Job) -> int:
        """The number of those who ever wanted a job that has not left."""
        with self._lock:
            return self._arrivals[job.digest].wants if job.digest in self._arrivals else 0

    def release(self, job: Job, error: GlmAriaError | None = None, *, seen: int | None = None) -> bool:
        """The job's blob is placed, or given up because of `error`: others may have its part.

        With `seen`, as `wants` was before it was placed, nothing is done if somebody came since; False is returned.
        """
        with self._lock:
            arrival = self._arrivals.get(job.digest)
            if arrival is not None and seen is not None and arrival.wants != seen:
                return False
            self._arrivals.pop(job.digest, None)
        if arrival is not None:
            self._drop(arrival.job.digest)
            arrival.enter(State.PLACED if error is None else State.LOST, error)
        return True

    def abandon(self, digests: Collection[Digest]) -> None:
        """Do not start these jobs: the models that want them were refused already, and would be for each of them."""
        self._transfer.abandon(digests)
        for digest in digests:
            arrival = self._arrivals.get(digest)
            if arrival is not None and not arrival.has_left and not self._transfer.has(digest):
                with self._lock:
                    self._arrivals.pop(digest, None)
                self._drop(arrival.job.digest)

    @property
    def under_way(self) -> frozenset[Digest]:
        """The jobs that have not left. For any thread."""
        with self._lock:
            return frozenset(self._arrivals)

    def fail(self, error: GlmAriaError, digests: Collection[Digest] | None = None) -> None:
        """Give up these jobs, or all. By any thread, outside of the context, whose end keeps what arrived."""
        with self._lock:
            given_up = self._arrivals.keys() if digests is None else self._arrivals.keys() & digests
            arrivals = [self._arrivals.pop(digest) for digest in tuple(given_up)]
        for arrival in arrivals:
            self._open.discard(arrival.job.digest)
            self._locator.choice.forget(arrival.job.digest)
            arrival.enter(State.LOST, error)

    def forgive(self) -> None:
        """Try the sources again that were given up."""
        self._transfer.forgive()

    def _look(self, message: Wish | Again) -> None:
        """Do what the wants of a job ask for now."""
        digest = message.job.digest
        with self._lock:
            arrival = self._arrivals.get(digest)
            if arrival is None:
                return
            is_wanted, need = arrival.is_wanted, arrival.need
            if isinstance(message, Wish):
                arrival.is_told = False
            else:
                arrival.has_left = False
        if arrival.has_left:
            return
        if is_wanted:
            self._open.add(digest)
            self._transfer.want(arrival.job, need)
        elif self._transfer.has(digest):
            self._transfer.pause(digest)
        else:
            self._leave(digest)

    def _paused(self, digest: Digest) -> None:
        if self._transfer.has(digest):
            return  # it is wanted again
        self._open.discard(digest)
        self._leave(digest)

    def _leave(self, digest: Digest) -> None:
        """Forget a job that nobody wants, unless somebody came just now, whose message is on its way."""
        with self._lock:
            arrival = self._arrivals.get(digest)
            if arrival is None or arrival.is_wanted:
                return
            is_watched = bool(arrival.watches)
            if not is_watched:
                del self._arrivals[digest]
        self._drop(arrival.job.digest)
        if is_watched and arrival.state is not State.WAITING:
            arrival.take_back(state=State.WAITING)  # the next who fetches it may be another process

    def _take_back(self, drop: Drop) -> None:
        """Take bytes back as far as the part is still open, or rests with a part of what it will have."""
        arrival = self._arrivals.get(drop.digest)
        if arrival is None or arrival.has_left or drop.epoch not in (None, arrival.epoch):
            return
        if self._transfer.drop(drop.digest, drop.ranges) or drop.digest not in self._claims:
            return
        if not self._transfer.has(drop.digest):  # all that was wanted is here, so nobody writes to the part
            arrival.take_back(
                journal.forget(self._staging.part(drop.digest), drop.digest, arrival.job.size, drop.ranges)
            )
            self._tell_wanted(arrival)

    def _drop(self, digest: Digest) -> None:
        """Keep nothing of a job that has left the depot."""
        self._open.discard(digest)
        self._verifier.forget(digest)
        self._disputes.forget(digest)
        self._writeback.forget(self._staging.part(digest))
        self._locator.choice.forget(digest)
        self._claims.release(digest)

    def _end(self, ended: Ended) -> None:
        digest = ended.job.digest
        if isinstance(ended, Proven):
            self._open.discard(digest)
            arrival = self._arrivals[digest]
            if ended.job.size >= SMALL:
                with suppress(OSError):  # without a part it counts for nothing
                    journal.clear(self._staging.part(digest))
            else:
                arrival.arrived = Extents.of([Extent(0, ended.job.size, next(iter(ended.sent), ""))])
            arrival.enter(State.PROVEN)
        elif isinstance(ended, Already):
            self._open.discard(digest)  # it has left when all who want it have it where they look
        else:
            self._mover.explain(ended.error, is_ours=self._transfer.is_ours)
            self.release(ended.job, ended.error)
            self._emit(FileProgress(digest, ended.job.name, Phase.FAILED, 0, ended.job.size))

    def _told(self, event: TransferEvent) -> None:
        """Tell who watches at once, so that nobody takes bytes for what they were before."""
        if not isinstance(event, Pace | Rangeless | Remark) and (arrival := self._arrivals.get(event.job.digest)):
            arrival.has_left = isinstance(event, Fetched | Already | Lost)
            if isinstance(event, TakenBack):
                arrival.take_back(event.ranges)
            elif event.job.size >= SMALL and isinstance(event, Moved | Paused | Fetched):
                arrival.grow(event.extents if isinstance(event, Fetched) else event.arrived)
        self._inbox.put(event)

    def _moved(self, moved: Moved) -> None:
        job = moved.job
        if job.digest not in self._claims:
            return  # it has left meanwhile
        part = self._staging.part(job.digest)
        self._verifier.moved(moved, part)
        self._writeback.grown(part, job.size)
        done = moved.arrived.total
        self._emit(FileProgress(job.digest, job.name, Phase.FETCHING, done, job.size, moved.speed, moved.connections))
