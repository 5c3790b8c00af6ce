"""Verification beside the transfer: hashing runs along while a big file arrives, and never in the caller's thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cache.claims import taken_over
from orchestrator.core.files import Digest
from orchestrator.depot.messages import DepotMessage, Proven, Wrong
from orchestrator.errors import DiskIOError, GlmAriaError, IntegrityError
from orchestrator.events import Emit, Phase
from orchestrator.proof.hashing import ChasingHasher
from orchestrator.proof.progress import Reading
from orchestrator.proof.verified import VerifiedFile, verify
from orchestrator.system.inbox import Sink
from orchestrator.system.signals import Stop
from orchestrator.transfer import journal
from orchestrator.transfer.interface import Fetched, Lost, Moved

_WORKERS = 2
_CHASE_FROM = 32 << 20  # a smaller file is hashed in a moment at its end
_CHASE_STEP = 8 << 20
_REPORT_STEP = 64 << 20


@dataclass(slots=True)
class _Chase:
    hasher: ChasingHasher
    running: Future[int] | None = field(default=None)


class Verifier:
    """Proves parts in worker threads; Proven, Wrong or Lost falls into the inbox. All methods are called by one thread.

    `is_ours` says whether a part still is what this run wrote: what another node writes there is no source's lie.
    """

    def __init__(
        self,
        inbox: Sink[DepotMessage],
        stop: Stop,
        emit: Emit,
        is_ours: Callable[[Digest], bool] = lambda _digest: True,
    ) -> None:
        self._inbox = inbox
        self._stop = stop
        self._is_ours = is_ours
        self._emit = emit
        self._pool = inbox.make_pool(_WORKERS, "verify")
        self._chases: dict[Digest, _Chase] = {}

    def moved(self, outcome: Moved, part: Path) -> None:
        """Hash on along the gapless prefix of a part that still arrives."""
        job, prefix = outcome.job, outcome.arrived.prefix
        if job.size < _CHASE_FROM or prefix < _CHASE_STEP:
            return
        chase = self._chases.get(job.digest)
        if chase and prefix < chase.hasher.position:
            self.forget(job.digest)  # the part was started again
            chase = None
        if chase is None:
            chase = self._chases[job.digest] = _Chase(ChasingHasher(part, job.digest.algorithm, job.size))
        is_free = chase.running is None or chase.running.done()
        if is_free and prefix - chase.hasher.position >= _CHASE_STEP:
            chase.running = self._pool.submit(chase.hasher.advance, prefix, stop=self._stop)

    def fetched(self, outcome: Fetched) -> None:
        """Prove a part that is complete."""
        chase = self._chases.pop(outcome.job.digest, None)
        self._inbox.submit(self._pool, self._prove, outcome, chase)

    def forget(self, digest: Digest) -> None:
        """Hash no further: what arrived of the part counts for nothing, or nobody wants it."""
        chase = self._chases.pop(digest, None)
        if chase and chase.running:
            chase.running.add_done_callback(lambda _: chase.hasher.close())
        elif chase:
            chase.hasher.close()

    def close(self) -> None:
        """End; hashing stops soon only when the run's stop is set."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for chase in self._chases.values():
            chase.hasher.close()

    def _prove(self, outcome: Fetched, chase: _Chase | None) -> Proven | Wrong | Lost:
        try:
            return Proven(outcome.job, self._verify(outcome, chase), outcome.sent)
        except IntegrityError as error:
            return Wrong(outcome, error)
        except DiskIOError as error:
            with suppress(OSError):
                journal.clear(outcome.part)  # what cannot be read shall be fetched again
            return Lost(outcome.job, error)
        except GlmAriaError as error:
            return Lost(outcome.job, error)

    def _verify(self, outcome: Fetched, chase: _Chase | None) -> VerifiedFile:
        job = outcome.job
        hasher = chase.hasher if chase else None
        if chase and chase.running:
            chase.running.exception()  # let it end; a failed read shows again below
        done = hasher.position if hasher else 0
        reading = Reading(self._emit, job.digest, job.name, Phase.VERIFYING, job.size, done=done, step=_REPORT_STEP)
        if job.size >= _CHASE_FROM:
            reading.begin()
        try:
            return verify(outcome.part, job.digest, job.size, hasher=hasher, stop=self._stop, on_bytes=reading)
        except (IntegrityError, DiskIOError) as error:
            if self._is_ours(job.digest):
                raise
            raise taken_over(repr(job.name)) from error
