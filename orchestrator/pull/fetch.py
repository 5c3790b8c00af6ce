"""Jobs in, verified files out: transfer and verification beside each other, and a second chance for bad bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from orchestrator.aria2.endpoint import Remark
from orchestrator.cache.staging import Claim, Staging
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.errors import (
    CannotCreateError,
    DiskIOError,
    GlmAriaError,
    IntegrityError,
    NoSpaceError,
    TemporaryError,
    TrustError,
)
from orchestrator.events import Emit, FileProgress, Notice, Phase, SourceRates
from orchestrator.mirrors.sources import Sources
from orchestrator.mirrors.stats import LEAST_BYTES, Observation
from orchestrator.proof.verified import VerifiedFile
from orchestrator.pull.candidates import Choosing
from orchestrator.pull.disputes import Disputes
from orchestrator.pull.mover import Mover
from orchestrator.pull.verifying import Verifier
from orchestrator.pull.writeback import Writeback
from orchestrator.system.signals import Stop
from orchestrator.transfer.interface import Admission, Already, Fetched, Lost, Moved, Outcome, Pace, Rangeless

# No other file will fare better on this disk: end the run instead of trying each.
FATAL = (NoSpaceError, CannotCreateError, DiskIOError)


@dataclass(frozen=True, slots=True)
class Proven:
    """A job's blob is verified and still staged; `sources` are the bytes that each source sent in this run."""

    job: Job
    file: VerifiedFile
    sources: dict[str, int]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another run has placed the job's blob meanwhile."""

    job: Job


@dataclass(frozen=True, slots=True)
class Failed:
    """The job is given up."""

    job: Job
    error: GlmAriaError


Result = Proven | Elsewhere | Failed


class Fetcher:
    """Fetches a run's jobs. Use as a context manager; iterate `results` once.

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
        is_placed: Callable[[Job], bool],
        stop: Stop,
        emit: Emit,
    ) -> None:
        self._jobs = jobs
        self._locator = locator
        self._sources = sources
        self._staging = staging
        self._mover = mover
        self._stop = stop
        self._emit = emit
        self._is_placed = is_placed
        self._claims: dict[Digest, Claim] = {}
        self._awaited: set[Digest] = set()
        self._sent: dict[Digest, dict[str, int]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Fetcher:
        with ExitStack() as stack:
            stack.callback(self._release_all)
            self._writeback = Writeback()
            stack.callback(self._writeback.close)
            self._verifier = Verifier(self._stop, self._emit, self._staging.is_ours)
            stack.callback(self._verifier.close)
            self._disputes = Disputes(self._locator, self._sources, self._staging, self._emit)
            stack.callback(self._disputes.close)
            self._transfer = stack.enter_context(
                self._mover.open(
                    self._locator,
                    self._staging.folder,
                    part=lambda job: self._staging.part(job.digest),
                    admit=self._admit,
                    homes={source.name: source.url for source in self._sources.ordered},
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
        """What was seen of the sources, for the next run. Never fails this one."""
        samples = {}
        by_name = {source.name: source for source in self._sources.ordered}
        for server in self._transfer.servers:
            if source := by_name.get(server.name):
                rate = server.best_rate if server.bytes >= LEAST_BYTES else None
                samples[source] = (Observation(server.latency, rate, server.allowed, failed=server.down is not None),)
        with suppress(GlmAriaError):
            self._sources.stats.observe(samples)

    def results(self) -> Iterator[Result | None]:
        """What became of each job, as it happens; None now and then, so that the caller can do its own work.

        Ends when all jobs have ended or the run's stop is set. Raises DaemonError when the daemon is lost for good.
        """
        while not self._stop.is_set() and not self._is_done:
            for outcome in self._transfer.poll():
                yield from self._take(outcome)
            for fetched, verdict in self._verifier.finished():
                yield from self._judge(fetched, verdict)
            for (job, verified), naming in self._disputes.named():
                yield self._named(job, verified, naming)
            for job, ruling in self._disputes.settled():
                yield from self._obey(job, ruling)
            yield None

    def release(self, job: Job) -> None:
        """The job's blob is placed, or given up: others may have its part."""
        claim = self._claims.pop(job.digest, None)
        if claim:
            claim.release()

    def abandon(self, digests: Collection[Digest]) -> None:
        """Do not start these jobs: whoever wants them was refused already, and would be for each of them."""
        self._transfer.abandon(digests)

    @property
    def _is_done(self) -> bool:
        return self._transfer.is_idle and self._verifier.is_idle and self._disputes.is_idle

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

    def _take(self, outcome: Outcome) -> Iterator[Result]:
        if isinstance(outcome, Pace):
            self._emit(SourceRates(outcome.sources))
            return
        if isinstance(outcome, Remark):
            self._emit(Notice(outcome.code, outcome.message))
            return
        if isinstance(outcome, Rangeless):
            message = f"{outcome.source}: {outcome.words}; its files come whole, over one connection each"
            self._emit(Notice("no-range", message, mirror=outcome.source))
            return
        job = outcome.job
        if isinstance(outcome, Moved):
            part = self._staging.part(job.digest)
            self._verifier.moved(outcome, part)
            self._writeback.moved(outcome, part)
            self._emit(
                FileProgress(
                    job.digest, job.name, Phase.FETCHING, outcome.done, job.size, outcome.speed, outcome.connections
                )
            )
        elif isinstance(outcome, Fetched):
            sent = self._sent.setdefault(job.digest, {})
            for name, count in outcome.sources.items():
                sent[name] = sent.get(name, 0) + count
            self._verifier.fetched(outcome)
        elif isinstance(outcome, Already):
            yield Elsewhere(job)
        else:
            yield self._failed(outcome)

    def _failed(self, lost: Lost) -> Failed:
        self.release(lost.job)
        if self._mover.ca_bundle and not self._transfer.is_ours and isinstance(lost.error, TemporaryError | TrustError):
            # aria2 cannot be told certificates for one download, and does not say that they were the reason.
            lost.error.hint = (
                f"this aria2 is not glm-aria's own: if it does not know the certificates, put ca-certificate="
                f"{self._mover.ca_bundle} into its configuration, or run without --rpc"
            )
        self._emit(FileProgress(lost.job.digest, lost.job.name, Phase.FAILED, 0, lost.job.size))
        return Failed(lost.job, lost.error)

    def _judge(self, fetched: Fetched, verdict: Future[VerifiedFile]) -> Iterator[Result]:
        job = fetched.job
        try:
            verified = verdict.result()
        except IntegrityError as error:
            self._disputes.open(fetched, error)
        except GlmAriaError as error:
            yield self._failed(Lost(job, error))
        else:
            if not self._disputes.name_liars(job, verified):
                yield self._proven(job, verified)

    def _named(self, job: Job, verified: VerifiedFile, naming: Future[None]) -> Result:
        try:
            naming.result()
        except GlmAriaError as error:
            return self._failed(Lost(job, error))
        return self._proven(job, verified)

    def _proven(self, job: Job, verified: VerifiedFile) -> Proven:
        return Proven(job, verified, self._sent.pop(job.digest, {}))

    def _obey(self, job: Job, ruling: Future[GlmAriaError | None]) -> Iterator[Result]:
        """Fetch again what was ruled out, or give up."""
        try:
            error = ruling.result()
        except GlmAriaError as unexpected:
            error = unexpected
        if error is not None:
            yield self._failed(Lost(job, error))
        else:
            self._transfer.enqueue([job])
