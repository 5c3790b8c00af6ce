"""Placing beside the transfer: verified blobs go to every model that wants them, in batches, in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from orchestrator.cache.cache import HfCache
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Action, Have, Job
from orchestrator.errors import GlmAriaError, IntegrityError
from orchestrator.pull.fetch import Elsewhere, Proven
from orchestrator.pull.model_run import ModelRun
from orchestrator.system.threads import Pool

Arrived = Proven | Elsewhere
# A batch costs a sync of each folder that it touches, so thousands of small files must not come one by one.
_BATCH_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a batch: the jobs that are in place, and why placing failed for some of the models."""

    jobs: tuple[Job, ...]
    errors: dict[ModelRun, GlmAriaError]


class BatchPlacer:
    """Hands blobs to the cache. Methods are called by one thread."""

    def __init__(self, runs: Iterable[ModelRun], cache: HfCache) -> None:
        self._cache = cache
        self._wanting: dict[Digest, list[ModelRun]] = {}
        self._files: dict[ModelRun, dict[Digest, list[RepoFile]]] = {}
        for run in runs:
            files: dict[Digest, list[RepoFile]] = {}
            for item in run.plan.files if run.plan else ():
                if item.action is Action.FETCH:
                    files.setdefault(item.file.digest, []).append(item.file)
            self._files[run] = files
            for digest in files:
                self._wanting.setdefault(digest, []).append(run)
        self._pool = Pool(max_workers=1, thread_name_prefix="place")
        self._arrived: list[Arrived] = []
        self._running: Future[Batch] | None = None
        self._began = -_BATCH_SECONDS

    def close(self) -> None:
        """Wait for the batch that is being placed."""
        self._pool.shutdown(wait=True)

    def add(self, arrived: Arrived) -> None:
        """Queue a blob."""
        self._arrived.append(arrived)

    def step(self, *, wait: bool = False) -> Batch | None:
        """The batch that was placed since the last call, if any; what queued up becomes the next one, in its time.

        With `wait`, and something queued or under way, it blocks until a batch is done.
        """
        is_due = wait or time.monotonic() - self._began >= _BATCH_SECONDS
        if self._running is None and self._arrived and is_due:
            self._began = time.monotonic()
            batch, self._arrived = self._arrived, []
            self._running = self._pool.submit(self._place, batch)
        if self._running is None or not (wait or self._running.done()):
            return None
        done, self._running = self._running.result(), None
        return done

    def wanting(self, digest: Digest) -> tuple[ModelRun, ...]:
        """The models that want a blob."""
        return tuple(self._wanting.get(digest, ()))

    def _place(self, batch: Sequence[Arrived]) -> Batch:
        errors: dict[ModelRun, GlmAriaError] = {}
        staged = {item.job.digest: item.file for item in batch if isinstance(item, Proven)}
        for run, files in self._files.items():
            entries = [(item.job.digest, file) for item in batch for file in files.get(item.job.digest, ())]
            if not entries:
                continue
            repo, commit = run.resolved.ref.repo, run.resolved.commit
            try:
                # The first model to want a blob gets the staged file; the others find it in the cache by then.
                self._cache.place(
                    repo, commit, [(staged[digest], file) for digest, file in entries if digest in staged]
                )
                found = self._cache.find(repo, (file for digest, file in entries if digest not in staged))
                here = [file for digest, file in entries if digest not in staged]
                for file in here:
                    if found[file.digest].have in (Have.NOTHING, Have.UNPROVEN):
                        raise IntegrityError(
                            f"{file.path!r} vanished from the cache", hint="run it again", file=file.path
                        )
                self._cache.link(
                    repo,
                    commit,
                    [(f, p) for f in here if found[f.digest].have is Have.ELSEWHERE and (p := found[f.digest].path)],
                )
                self._cache.expose(repo, commit, [f for f in here if found[f.digest].have is Have.PLACED])
                for digest, _ in entries:
                    staged.pop(digest, None)
            except GlmAriaError as error:
                errors[run] = error
        return Batch(tuple(item.job for item in batch), errors)
