"""Admission of jobs: a part is written by who holds its claim, from the job's start until its blob is placed."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.cache.staging import Claim, Staging
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.depot.watch import Arrival
from orchestrator.events import Emit, FileProgress, Phase
from orchestrator.transfer.interface import Admission


class Claims:
    """The claims that a depot holds. `is_placed` is that of the depot. One thread calls all methods."""

    def __init__(self, staging: Staging, is_placed: Callable[[Job], bool], emit: Emit) -> None:
        self._staging = staging
        self._is_placed = is_placed
        self._emit = emit
        self._held: dict[Digest, Claim] = {}

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._held

    def admit(self, arrival: Arrival) -> Admission:
        """May the job start? It is told, once each time, if somebody else fetches it. Raises DiskIOError."""
        job = arrival.job
        if job.digest in self._held:
            return Admission.GO
        claim = self._staging.claim(job.digest)
        if claim is None:
            if not arrival.is_elsewhere:
                arrival.is_elsewhere = True
                self._emit(FileProgress(job.digest, job.name, Phase.WAITING, 0, job.size))
            return Admission.BUSY
        self._held[job.digest] = claim
        arrival.is_elsewhere = False
        return Admission.ALREADY if self._is_placed(job) else Admission.GO

    def release(self, digest: Digest) -> None:
        """Others may have the part."""
        claim = self._held.pop(digest, None)
        if claim:
            claim.release()

    def close(self) -> None:
        """Release all."""
        for digest in tuple(self._held):
            self.release(digest)
