"""From planned models to finished ones: fetch what is missing, place it, and publish each model as it gets whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing

from orchestrator.cache.cache import Cache
from orchestrator.cache.claims import taken_over
from orchestrator.cache.moved import is_on_another_volume
from orchestrator.catalogs.sites import Sites
from orchestrator.core.files import Digest
from orchestrator.core.plan import Action, Have, Job, Plan, merge
from orchestrator.depot.depot import Depot
from orchestrator.depot.locate import SourceLocator
from orchestrator.depot.messages import Proven
from orchestrator.depot.mover import Mover
from orchestrator.depot.other_catalogs import OtherCatalogs
from orchestrator.disk import space
from orchestrator.errors import (
    CannotCreateError,
    DiskIOError,
    GlmAriaError,
    Interrupted,
    NoSpaceError,
    NotAllowedError,
)
from orchestrator.events import Emit, FileProgress, Flipped, Phase, Queued
from orchestrator.folders.local_dir import place_local
from orchestrator.mirrors.sources import Sources
from orchestrator.pulling.messages import Batch, Message, Published
from orchestrator.pulling.model_run import ModelRun
from orchestrator.pulling.placing import BatchPlacer
from orchestrator.pulling.report import FileState
from orchestrator.resolve.resolve import remember
from orchestrator.system.inbox import Inbox
from orchestrator.system.signals import Stop
from orchestrator.transfer.interface import Already, Lost, Moved

_PUBLISHERS = 2
# No other file will fare better on this disk: end the run instead of trying each.
_FATAL = (NoSpaceError, CannotCreateError, DiskIOError)


def deliver(
    runs: Sequence[ModelRun], sites: Sites, sources: Sources, cache: Cache, mover: Mover, *, stop: Stop, emit: Emit
) -> None:
    """Bring surveyed models to their end, as one queue; a blob that several want is fetched once.

    Raises NoSpaceError or CannotCreateError before the first byte when the plan does not fit, DaemonError when aria2
    is lost, and the disk's errors; a source's failure only fails the models that needed it.
    """
    plan = merge(run.plan for run in runs if run.plan)
    _check_space(runs, plan, cache)
    _Delivery(runs, sites, sources, cache, mover, stop=stop, emit=emit).run(plan.jobs, plan.bytes_to_fetch)


def _check_space(runs: Sequence[ModelRun], plan: Plan, cache: Cache) -> None:
    # What a stopped run left has its room on the disk already: aria2 reserves the whole file.
    need = sum(max(0, job.size - cache.staging.held(job.digest)) for job in plan.jobs)
    cache_dir = cache.layout.cache_dir
    space.check(need, cache_dir, files=len(plan.jobs))
    space.check_largest(max((job.size for job in plan.jobs), default=0), cache_dir)
    if cache.staging.folder.is_dir():
        space.check(need, cache.staging.folder)  # it may be on another volume
    for run in runs:
        folder = cache.layout.repo_dir(run.resolved.ref.repo)
        if run.plan and is_on_another_volume(folder, cache_dir):
            space.check(run.plan.bytes_of(Action.FETCH, Action.LINK), folder, files=len(run.plan.files))
            space.check_largest(max((item.file.size for item in run.plan.files), default=0), folder)
        if run.item.local_dir:
            # Where the file system shares copies (reflinks) this asks for too much, never for too little.
            space.check(run.resolved.wanted.total_size, run.item.local_dir, flag="--local-dir")
            space.check_largest(max((file.size for file in run.resolved.wanted.files), default=0), run.item.local_dir)


class _Delivery:
    def __init__(
        self,
        runs: Sequence[ModelRun],
        sites: Sites,
        sources: Sources,
        cache: Cache,
        mover: Mover,
        *,
        stop: Stop,
        emit: Emit,
    ) -> None:
        self._runs = runs
        self._sites = sites
        self._sources = sources
        self._cache = cache
        self._blobs = cache.blobs
        self._mover = mover
        self._stop = stop
        self._emit = emit
        self._inbox: Inbox[Message] = Inbox(mover.make_pool)
        self._placer = BatchPlacer(runs, cache.blobs, self._inbox)
        self._publishers = self._inbox.make_pool(_PUBLISHERS, "publish")
        self._publishing: set[ModelRun] = set()
        self._abandoned: set[ModelRun] = set()
        self._moved: dict[Digest, Moved] = {}

    def run(self, jobs: Sequence[Job], size: int) -> None:
        try:
            self._emit(Queued(len(jobs), size))
            for run in self._runs:
                with run.guard():
                    self._take_what_is_here(run)
            self._publish_whole()
            if jobs:
                self._fetch(jobs)
            while self._publishing:
                for message in self._inbox.take(math.inf):
                    if isinstance(message, Published):
                        self._published(message)
        finally:
            self._placer.close()
            self._publishers.shutdown(wait=True)

    def _take_what_is_here(self, run: ModelRun) -> None:
        model, items = run.resolved, run.plan.files if run.plan else ()
        here = [item.file for item in items if item.action in (Action.KEEP, Action.CHECK)]
        linked = [(item.file, path) for item in items if item.action is Action.LINK and (path := item.found)]
        repo = model.ref.repo
        if here:
            self._blobs.expose(repo, model.commit, here)
        self._blobs.link(repo, model.commit, linked)

    def _fetch(self, jobs: Sequence[Job]) -> None:
        for run in self._runs:
            if run.missing:
                run.enter(Phase.FETCHING)
        plans = [run.plan for run in self._runs if run.plan]
        with closing(OtherCatalogs(plans, self._sites, self._emit)) as catalogs:
            locator = SourceLocator(self._sources, catalogs, self._emit)
            depot = Depot(
                locator,
                self._sources,
                self._cache.staging,
                self._mover,
                inbox=self._inbox,
                is_placed=self._is_placed,
                stop=self._stop,
                emit=self._emit,
            )
            for job in jobs:
                depot.want(job)
            try:
                with depot:
                    self._drain(depot)
            finally:
                depot.fail(Interrupted(self._stop.signal_number))
                # What came of blobs that are not whole stays for the next run.
                for digest, moved in self._moved.items():
                    for run in self._placer.wanting(digest):
                        run.sent[digest] = moved.sent

    def _drain(self, depot: Depot) -> None:
        """Wait in one place for all that happens, until every job has ended and is placed, or the run is stopped."""
        # Looked at once a round: with a signal between two looks, it would wait for a batch that nobody began.
        while not (no_more := self._stop.is_set() or depot.is_idle) or not self._placer.is_idle:
            # What is verified gets placed even when the run is being stopped: it is a matter of moments.
            due = self._placer.poll(at_once=no_more)
            for message in self._inbox.take(due if no_more else min(due, depot.poll())):
                self._take(message, depot)

    def _take(self, message: Message, depot: Depot) -> None:
        if isinstance(message, Batch):
            self._placed(message, depot)
        elif isinstance(message, Published):
            self._published(message)
        elif not self._stop.is_set():
            if isinstance(message, Moved):
                self._moved[message.job.digest] = message
            ended = depot.take(message)
            if isinstance(ended, Lost):
                self._lost(ended, depot)
            elif ended is not None:
                self._arrived(ended)

    def _is_placed(self, job: Job) -> bool:
        for run in self._placer.wanting(job.digest):
            repo = run.resolved.ref.repo
            if self._blobs.layout.blob(repo, job.digest).exists():
                files = self._placer.files(run, job.digest)
                if self._blobs.find(repo, files)[job.digest].have is Have.PLACED:
                    return True
        return False

    def _lost(self, lost: Lost, depot: Depot) -> None:
        error = lost.error
        if not self._cache.staging.is_ours(lost.job.digest):
            # What failed is another node's part by now, and tells nothing of this disk or of a source.
            error = taken_over(repr(lost.job.name))
        if isinstance(error, _FATAL):
            raise error
        runs = self._placer.wanting(lost.job.digest)
        for run in runs:
            run.ended[lost.job.digest] = FileState.LOST
            run.fail(error)
        if isinstance(error, NotAllowedError):
            missing = {digest for run in runs if run not in self._abandoned for digest in run.missing}
            self._abandoned.update(runs)
            depot.abandon({d for d in missing if not any(run.is_open for run in self._placer.wanting(d))})

    def _arrived(self, arrived: Proven | Already) -> None:
        job = arrived.job
        self._moved.pop(job.digest, None)
        for run in self._placer.wanting(job.digest):
            if isinstance(arrived, Proven):
                run.ended[job.digest], run.sent[job.digest] = FileState.FETCHED, arrived.sent
            else:
                run.ended[job.digest] = FileState.ALREADY
        self._emit(FileProgress(job.digest, job.name, Phase.PLACING, job.size, job.size))
        self._placer.add(arrived)

    def _placed(self, batch: Batch, depot: Depot) -> None:
        self._placer.ended()
        for failed, error in batch.errors.items():
            if isinstance(error, _FATAL):
                raise error
            failed.fail(error)
        for job in batch.jobs:
            depot.release(job)
            self._emit(FileProgress(job.digest, job.name, Phase.DONE, job.size, job.size))
            for run in self._placer.wanting(job.digest):
                if run not in batch.errors:
                    run.missing.discard(job.digest)
        self._publish_whole()

    def _publish_whole(self) -> None:
        for run in self._runs:
            if run.is_open and not run.missing and run not in self._publishing:
                run.enter(Phase.PLACING)
                self._publishing.add(run)
                self._inbox.submit(self._publishers, self._try_to_publish, run)

    def _published(self, published: Published) -> None:
        self._publishing.remove(published.run)
        if published.error is None:
            published.run.finish()
        else:
            published.run.fail(published.error)

    def _try_to_publish(self, run: ModelRun) -> Published:
        try:
            self._publish(run)
        except Interrupted:
            raise
        except GlmAriaError as error:
            return Published(run, error)
        return Published(run)

    def _publish(self, run: ModelRun) -> None:
        model, blobs = run.resolved, self._blobs
        run.check_lock(blobs, self._stop)
        remember(model, self._cache.records, self._sites, is_new=bool(run.ended))
        flip = blobs.publish(model)
        try:
            if run.item.local_dir:
                files = {file.digest: blobs.layout.blob(model.ref.repo, file.digest) for file in model.wanted.files}
                place_local(
                    run.item.local_dir,
                    model,
                    files,
                    is_held=run.is_held(blobs),
                    force=run.force,
                    no_links=run.item.no_links,
                    known=run.local,
                    stop=self._stop,
                )
        finally:
            # Also when the plain folder failed: the ref is written, and would not be reported a second time.
            if flip:
                self._emit(Flipped(str(model.ref), blobs.snapshot(model), flip.old, flip.new, model.version))
