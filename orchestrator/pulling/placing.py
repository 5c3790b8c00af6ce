"""Placing beside the transfer: verified blobs go to every model that wants them, in batches, in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.cache.cache import HfCache
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Action
from orchestrator.depot.batches import Batches
from orchestrator.depot.messages import Proven
from orchestrator.errors import GlmAriaError
from orchestrator.pulling.messages import Batch, Message
from orchestrator.pulling.model_run import ModelRun
from orchestrator.system.inbox import Inbox
from orchestrator.transfer.interface import Already

_BATCH_SECONDS = 0.5


class BatchPlacer:
    """Hands blobs to the cache; what became of a batch falls into the inbox. Methods are called by one thread."""

    def __init__(self, runs: Iterable[ModelRun], blobs: HfCache, inbox: Inbox[Message]) -> None:
        self._blobs = blobs
        self._inbox = inbox
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
        self._pool = inbox.make_pool(1, "place")
        self._batches: Batches[Proven | Already] = Batches(_BATCH_SECONDS)

    def close(self) -> None:
        """Wait for the batch that is being placed."""
        self._pool.shutdown(wait=True)

    @property
    def is_idle(self) -> bool:
        """True when nothing is queued or under way."""
        return self._batches.is_idle

    def add(self, arrived: Proven | Already) -> None:
        """Queue a blob."""
        self._batches.add(arrived)

    def poll(self, *, at_once: bool) -> float:
        """Begin a batch of what is queued, if it is time for one: `at_once`, because nothing else will come, or half a
        second after the one before. Returns when it will be, in monotonic seconds."""
        return self._batches.poll(self._begin, at_once=at_once)

    def ended(self) -> None:
        """The batch that was under way was taken out of the inbox."""
        self._batches.ended()

    def wanting(self, digest: Digest) -> tuple[ModelRun, ...]:
        """The models that want a blob."""
        return tuple(self._wanting.get(digest, ()))

    def files(self, run: ModelRun, digest: Digest) -> tuple[RepoFile, ...]:
        """The files of a model that are a blob which it wants."""
        return tuple(self._files[run].get(digest, ()))

    def _begin(self, batch: Sequence[Proven | Already]) -> None:
        self._inbox.submit(self._pool, self._place, batch)

    def _place(self, batch: Sequence[Proven | Already]) -> Batch:
        errors: dict[ModelRun, GlmAriaError] = {}
        staged = {item.job.digest: item.file for item in batch if isinstance(item, Proven)}
        wanted: dict[ModelRun, list[RepoFile]] = {}
        for item in batch:
            for run in self.wanting(item.job.digest):
                wanted.setdefault(run, []).extend(self.files(run, item.job.digest))
        for run, files in wanted.items():
            try:
                # The first model to want a blob gets the staged file; the others find it in the cache by then.
                self._blobs.settle(run.resolved.ref.repo, run.resolved.commit, files, staged)
            except GlmAriaError as error:
                errors[run] = error
        return Batch(tuple(item.job for item in batch), errors)
