"""A depot with a thread of its own, for as long as a service runs.

What is proven is placed in batches, in another thread. Where nobody wants anything, nothing is polled or asked, and no
daemon need be alive; the first who wants something opens the depot. What a run believes to its end about its sources is
looked at again here: who is in quarantine, and who was given up.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from orchestrator.cache.staging import Staging
from orchestrator.core.extents import Ranges
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.text import redacted
from orchestrator.depot.batches import Batches
from orchestrator.depot.candidates import Choosing
from orchestrator.depot.depot import Depot
from orchestrator.depot.messages import DepotMessage, Proven, Wish
from orchestrator.depot.mover import Mover
from orchestrator.depot.watch import Watch
from orchestrator.errors import GlmAriaError, Interrupted, SourcesDownError, TemporaryError
from orchestrator.events import Emit, FileProgress, Notice, Phase
from orchestrator.mirrors.sources import Sources
from orchestrator.system import threads
from orchestrator.system.inbox import Inbox
from orchestrator.system.signals import Stop
from orchestrator.transfer.interface import Already, Lost

_BATCH_SECONDS = 0.25
_TERM = 15

Here = Proven | Already
"""A blob that is staged, or was placed somewhere before."""

Place = Callable[[Sequence[Here]], Mapping[Digest, GlmAriaError]]
"""Moves proven blobs to where they belong, and links others there; tells what failed, by digest. One thread calls it,
and it may take long."""


class Lasting(Choosing, Protocol):
    """A locator that outlives what it knows of its sources."""

    def renew(self) -> None:
        """Look again which sources may be used."""


@dataclass(frozen=True, slots=True)
class Forgiving:
    """Seconds until sources that were given up are tried again: `usually`, and `after_loss` of a job for that reason,
    in which others are lost at once for the same one."""

    usually: float = 60.0
    after_loss: float = 5.0


@dataclass(frozen=True, slots=True)
class _Placed:
    wants: Mapping[Job, int]
    errors: Mapping[Digest, GlmAriaError]


_Message = DepotMessage | _Placed


class Resident:
    """Fetches whatever is wanted until `close`. Thread-safe."""

    def __init__(  # noqa: PLR0913 - the objects that move bytes, and what is asked and told
        self,
        locator: Lasting,
        sources: Sources,
        staging: Staging,
        mover: Mover,
        *,
        place: Place,
        is_placed: Callable[[Job], bool],
        emit: Emit,
        patience: Forgiving | None = None,
    ) -> None:
        self._locator = locator
        self._place = place
        self._emit = emit
        self._patience = patience or Forgiving()
        self._stop = Stop()
        self._inbox: Inbox[_Message] = Inbox(mover.make_pool)
        self._depot = Depot(
            locator,
            sources,
            staging,
            mover,
            inbox=self._inbox,
            is_placed=is_placed,
            stop=self._stop,
            emit=emit,
        )
        self._batches: Batches[Here] = Batches(_BATCH_SECONDS)
        self._late: list[Wish] = []
        self._ending: frozenset[Digest] | None = None
        self._is_over = False
        self._renew_at = 0.0
        self._thread = threading.Thread(target=self._run, name="depot")
        threads.start(self._thread)

    def __enter__(self) -> Resident:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def want(self, job: Job, *, ranges: Ranges | None = None) -> Watch:
        """See `Depot.want`. After `close` the blob is LOST."""
        watch = self._depot.want(job, ranges=ranges)
        if self._is_over:
            self._depot.fail(Interrupted(_TERM))
        return watch

    def drop(self, digest: Digest, ranges: Ranges, *, epoch: int | None = None) -> None:
        """See `Depot.drop`."""
        self._depot.drop(digest, ranges, epoch=epoch)

    def stir(self) -> None:
        """See `Depot.stir`."""
        self._depot.stir()

    @property
    def is_alive(self) -> bool:
        """True as long as what is wanted will be fetched."""
        return self._thread.is_alive() and not self._is_over

    def close(self) -> None:
        """End: what arrived stays for later, and all that is still wanted is LOST."""
        self._stop.set()
        self._inbox.wake()
        self._thread.join()

    def _run(self) -> None:
        try:
            late: list[_Message] = []
            while not self._stop.is_set():
                if messages := [*late, *self._inbox.take(0.0 if late else math.inf)]:
                    late = self._session(messages)
        finally:
            self._is_over = True
            self._depot.fail(Interrupted(_TERM))

    def _session(self, messages: Iterable[_Message]) -> list[_Message]:
        """Work until the end, until the daemon is lost for good, or until a bug shows. Returns the wishes that came too
        late, for the next one."""
        error: GlmAriaError = Interrupted(_TERM)
        try:
            with self._depot:
                self._work(messages)
        except GlmAriaError as failure:
            error = failure
        except Exception as bug:  # noqa: BLE001 - the last place: a bug is told here, and the service lives on
            words = redacted(f"the transfer failed, and begins again: {type(bug).__name__}: {bug}")
            self._emit(Notice("transfer-failed", words))
            error = TemporaryError("the transfer failed, and begins again; what arrived is kept")
        self._depot.fail(error, self._ending)
        late, self._late, self._ending = self._late, [], None
        # All else is of what has ended.
        return [*late, *(message for message in self._inbox.take(0.0) if isinstance(message, Wish))]

    def _work(self, messages: Iterable[_Message]) -> None:
        pool = self._inbox.make_pool(1, "place")
        try:
            self._take(messages)
            while not self._stop.is_set():
                self._renew()
                due = self._batches.poll(lambda batch: self._begin(batch, pool))
                self._take(self._inbox.take(min(due, self._depot.poll())))
        finally:
            self._ending = self._depot.under_way  # all that is wanted from here on is for the next session
            # What is verified gets placed in any case: it is a matter of moments.
            pool.shutdown(wait=True)
            self._batches.ended()
            for message in self._inbox.take(0.0):
                if isinstance(message, _Placed):
                    self._placed(message)
                elif isinstance(message, Wish):
                    self._late.append(message)
            while batch := self._batches.take():
                self._placed(self._place_all(batch, self._wants(batch)))

    def _take(self, messages: Iterable[_Message]) -> None:
        for message in messages:
            if isinstance(message, _Placed):
                self._batches.ended()
                self._placed(message)
                continue
            ended = self._depot.take(message)
            if isinstance(ended, Here):
                self._batches.add(ended)
            elif isinstance(ended, Lost) and isinstance(ended.error, SourcesDownError | TemporaryError):
                self._renew_at = min(self._renew_at, time.monotonic() + self._patience.after_loss)

    def _renew(self) -> None:
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + self._patience.usually
            self._depot.forgive()
            with suppress(GlmAriaError):  # what was known before still is
                self._locator.renew()

    def _begin(self, batch: Sequence[Here], pool: Executor) -> None:
        self._inbox.submit(pool, self._place_all, batch, self._wants(batch))

    def _wants(self, batch: Sequence[Here]) -> Mapping[Job, int]:
        """The number of those who want each of these blobs now."""
        return {one.job: self._depot.wants(one.job) for one in batch}

    def _place_all(self, batch: Sequence[Here], wants: Mapping[Job, int]) -> _Placed:
        try:
            return _Placed(wants, self._place(batch))
        except GlmAriaError as error:
            return _Placed(wants, {job.digest: error for job in wants})

    def _placed(self, placed: _Placed) -> None:
        for job, seen in placed.wants.items():
            error = placed.errors.get(job.digest)
            if self._depot.release(job, error, seen=None if error else seen):
                self._tell(job, Phase.FAILED if error else Phase.DONE)
            else:  # who came meanwhile may want it at another place
                self._batches.add(Already(job))

    def _tell(self, job: Job, phase: Phase) -> None:
        self._emit(FileProgress(job.digest, job.name, phase, job.size, job.size))
