"""Jobs in, verified files out: transfer and verification beside each other, and a second chance for bad bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress

from orchestrator.aria2.endpoint import Remark
from orchestrator.cache.staging import Claim, Staging
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Sent
from orchestrator.disk.writeback import Writeback
from orchestrator.errors import (
    CannotCreateError,
    DiskIOError,
    GlmAriaError,
    NoSpaceError,
    TemporaryError,
    TrustError,
)
from orchestrator.events import Emit, FileProgress, Notice, Phase, SourceRates
from orchestrator.mirrors.counts import beginning
from orchestrator.mirrors.sources import Sources
from orchestrator.mirrors.stats import LEAST_BYTES, Observation
from orchestrator.pull.candidates import Choosing
from orchestrator.pull.disputes import Disputes
from orchestrator.pull.messages import Again, Ended, Message, Proven, Wrong
from orchestrator.pull.mover import Home, Mover
from orchestrator.pull.verifying import Verifier
from orchestrator.system.inbox import Inbox
from orchestrator.system.signals import Stop
from orchestrator.transfer.interface import Admission, Already, Fetched, Lost, Moved, Pace, Rangeless
from orchestrator.transfer.limits import usual
from orchestrator.transfer.spans import SMALL

# No other file will fare better on this disk: end the run instead of trying each.
FATAL = (NoSpaceError, CannotCreateError, DiskIOError)


class Fetcher:
    """Fetches a run's jobs. Use as a context manager: `poll` whenever it is due, and hand what falls into the inbox to
    `take`.

    `is_placed` says whether another run placed a blob since the plan was made. A job's claim is held from its start
    until `release`, so that nobody else writes the part before it is placed.
    """

    def __init__(  # noqa: PLR0913 - jobs, the objects that move them, three hooks
        self,
        jobs: Sequence[Job],
        locator: Choosing,
        sources: Sources,
        staging: Staging,
        mover: Mover,
        *,
        inbox: Inbox[Message],
        is_placed: Callable[[Job], bool],
        stop: Stop,
        emit: Emit,
    ) -> None:
        self._jobs = jobs
        self._locator = locator
        self._sources = sources
        self._staging = staging
        self._mover = mover
        self._inbox = inbox
        self._stop = stop
        self._emit = emit
        self._is_placed = is_placed
        self._claims: dict[Digest, Claim] = {}
        self._awaited: set[Digest] = set()
        self._open = {job.digest for job in jobs}
        self._moved_last: dict[Digest, Moved] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Fetcher:
        with ExitStack() as stack:
            stack.callback(self._release_all)
            self._writeback = Writeback()
            stack.callback(self._writeback.close)
            self._verifier = Verifier(self._inbox, self._stop, self._emit, self._staging.is_ours)
            stack.callback(self._verifier.close)
            self._disputes = Disputes(self._inbox, self._locator, self._sources, self._staging, self._emit)
            stack.callback(self._disputes.close)
            stats = self._sources.stats.read()
            begin = usual(sum(job.size >= SMALL for job in self._jobs))
            self._transfer = stack.enter_context(
                self._mover.open(
                    self._locator,
                    self._staging.folder,
                    part=lambda job: self._staging.part(job.digest),
                    admit=self._admit,
                    tell=self._inbox.put,
                    wake=self._inbox.wake,
                    homes={
                        source.name: Home(source.url, beginning(stats.of(source).counts, begin, stats.at))
                        for source in self._sources.ordered
                    },
                )
            )
            stack.callback(self._remember)
            self._transfer.enqueue(self._jobs)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def _release_all(self) -> None:
        for claim in self._claims.values():
            claim.release()

    def _remember(self) -> None:
        """Record the measurements of the sources for the next run. Never fails this one."""
        samples = {}
        by_name = {source.name: source for source in self._sources.ordered}
        for server in self._transfer.servers:
            if source := by_name.get(server.name):
                rate = server.best_rate if server.bytes >= LEAST_BYTES else None
                samples[source] = (
                    Observation(
                        server.latency,
                        rate,
                        server.allowed,
                        failed=server.down is not None,
                        count=server.settled,
                        family=self._transfer.family,
                    ),
                )
        with suppress(GlmAriaError):
            self._sources.stats.observe(samples)

    @property
    def is_idle(self) -> bool:
        """True when every job has ended."""
        return not self._open

    @property
    def unfinished(self) -> Mapping[Digest, Sent]:
        """The bytes that each source sent in this run of blobs that are not whole; they stay for the next run."""
        return {digest: moved.sent for digest, moved in self._moved_last.items()}

    def poll(self) -> float:
        """Drive the transfer. Returns when to call again, in monotonic seconds, or before that when something falls
        into the inbox. Raises DaemonError when the daemon is lost for good."""
        return self._transfer.poll()

    def take(self, message: Message) -> Ended | None:
        """See to what fell into the inbox; how a job ended, if it did."""
        match message:
            case Pace():
                self._emit(SourceRates(message.sources))
            case Remark():
                self._emit(Notice(message.code, message.message))
            case Rangeless():
                text = f"{message.source}: {message.words}; its files come whole, over one connection each"
                self._emit(Notice("no-range", text, mirror=message.source))
            case Moved():
                self._moved(message)
            case Fetched():
                self._verifier.fetched(message)
            case Wrong():
                self._disputes.open(message)
            case Again():
                self._transfer.enqueue([message.job])
            case Proven() if self._disputes.compare_dropped(message):
                pass
            case Proven() | Already() | Lost():
                self._open.discard(message.job.digest)
                if isinstance(message, Lost):
                    self._lost(message)
                else:
                    self._moved_last.pop(message.job.digest, None)
                return message
        return None

    def release(self, job: Job) -> None:
        """The job's blob is placed, or given up: others may have its part."""
        claim = self._claims.pop(job.digest, None)
        if claim:
            claim.release()

    def abandon(self, digests: Collection[Digest]) -> None:
        """Do not start these jobs: the models that want them were refused already, and would be for each of them."""
        self._open -= self._transfer.abandon(digests)

    def _admit(self, job: Job) -> Admission:
        if job.digest in self._claims:
            return Admission.GO
        claim = self._staging.claim(job.digest)
        if claim is None:
            if job.digest not in self._awaited:
                self._awaited.add(job.digest)
                self._emit(FileProgress(job.digest, job.name, Phase.WAITING, 0, job.size))
            return Admission.BUSY
        if self._is_placed(job):
            claim.release()
            return Admission.ALREADY
        self._claims[job.digest] = claim
        return Admission.GO

    def _moved(self, moved: Moved) -> None:
        job = moved.job
        self._moved_last[job.digest] = moved
        part = self._staging.part(job.digest)
        self._verifier.moved(moved, part)
        self._writeback.grown(part, job.size)
        done = moved.arrived.total
        self._emit(FileProgress(job.digest, job.name, Phase.FETCHING, done, job.size, moved.speed, moved.connections))

    def _lost(self, lost: Lost) -> None:
        self.release(lost.job)
        if self._mover.ca_bundle and not self._transfer.is_ours and isinstance(lost.error, TemporaryError | TrustError):
            # aria2 cannot be told certificates for one download, and does not say that they were the reason.
            lost.error.hint = (
                f"this aria2 is not glm-aria's own: if it does not know the certificates, put ca-certificate="
                f"{self._mover.ca_bundle} into its configuration, or run without --rpc"
            )
        self._emit(FileProgress(lost.job.digest, lost.job.name, Phase.FAILED, 0, lost.job.size))
