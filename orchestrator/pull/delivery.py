"""From planned models to finished ones: fetch what is missing, place it, and publish each model as it gets whole."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing

from orchestrator.cache.moved import is_on_another_volume
from orchestrator.core.plan import Action, Have, Job, merge
from orchestrator.disk import space
from orchestrator.errors import CannotCreateError, NotAllowedError
from orchestrator.events import Emit, FileProgress, Flipped, Phase, Queued
from orchestrator.folders.local_dir import place_local
from orchestrator.pull.fetch import FATAL, Elsewhere, Failed, Fetcher, Proven
from orchestrator.pull.locate import SourceLocator
from orchestrator.pull.model_run import Work
from orchestrator.pull.other_catalogs import Holdings
from orchestrator.pull.placing import Batch, Shelver
from orchestrator.pull.tools import Tools
from orchestrator.resolve.resolve import remember
from orchestrator.swarm.leases import taken_over
from orchestrator.system.threads import Pool

_PUBLISHERS = 2


def deliver(works: Sequence[Work], tools: Tools, emit: Emit) -> None:
    """Bring surveyed works to their end, as one queue; a blob that several want is fetched once.

    Raises NoSpaceError or CannotCreateError before the first byte when the plan does not fit, DaemonError when aria2
    is lost, and the disk's errors; a source's failure only fails the works that needed it.
    """
    plan = merge(work.plan for work in works if work.plan)
    # What a stopped run left has its room on the disk already: aria2 reserves the whole file.
    need = sum(max(0, job.size - tools.staging.held(job.digest)) for job in plan.jobs)
    space.check(need, tools.cache.layout.cache_dir, files=len(plan.jobs))
    space.check_largest(max((job.size for job in plan.jobs), default=0), tools.cache.layout.cache_dir)
    if tools.staging.folder.is_dir():
        space.check(need, tools.staging.folder)  # it may be on another volume
    for work in works:
        folder = tools.cache.layout.repo_dir(work.resolved.ref.repo)
        if work.plan and is_on_another_volume(folder, tools.cache.layout.cache_dir):
            space.check(work.plan.bytes_of(Action.FETCH, Action.LINK), folder, files=len(work.plan.files))
            space.check_largest(max((item.file.size for item in work.plan.files), default=0), folder)
        if work.item.local_dir:
            # Where the file system shares copies (reflinks) this asks for too much, never for too little.
            space.check(work.resolved.wanted.total_size, work.item.local_dir, flag="--local-dir")
            space.check_largest(max((file.size for file in work.resolved.wanted.files), default=0), work.item.local_dir)
    _Delivery(works, tools, emit).run(plan.jobs, plan.bytes_to_fetch)


class _Delivery:
    def __init__(self, works: Sequence[Work], tools: Tools, emit: Emit) -> None:
        self._works = works
        self._tools = tools
        self._emit = emit
        self._shelver = Shelver(works, tools.cache)
        self._publishers = Pool(_PUBLISHERS, thread_name_prefix="publish")
        self._publishing: dict[Future[None], Work] = {}

    def run(self, jobs: Sequence[Job], size: int) -> None:
        try:
            self._emit(Queued(len(jobs), size))
            for work in self._works:
                with work.guard():
                    self._take_what_is_here(work)
            self._publish_whole()
            if jobs:
                self._fetch(jobs)
            while self._publishing:
                next(iter(self._publishing)).exception()
                self._collect()
        finally:
            self._shelver.close()
            self._publishers.shutdown(wait=True)

    def _take_what_is_here(self, work: Work) -> None:
        model, items = work.resolved, work.plan.files if work.plan else ()
        here = [item.file for item in items if item.action in (Action.KEEP, Action.CHECK)]
        linked = [(item.file, path) for item in items if item.action is Action.LINK and (path := item.found)]
        repo = model.ref.repo
        if here:
            self._tools.cache.expose(repo, model.commit, here)
        self._tools.cache.link(repo, model.commit, linked)

    def _fetch(self, jobs: Sequence[Job]) -> None:
        for work in self._works:
            if work.missing:
                work.enter(Phase.FETCHING)
        plans = [work.plan for work in self._works if work.plan]
        holdings = Holdings(plans, self._tools, self._emit)
        with closing(holdings), self._tools.daemon() as daemon:
            locator = SourceLocator(self._tools, self._emit, holdings)
            fetcher = Fetcher(jobs, locator, self._tools, daemon, is_placed=self._is_placed, emit=self._emit)
            with fetcher:
                self._drain(fetcher)

    def _drain(self, fetcher: Fetcher) -> None:
        for result in fetcher.results():
            if isinstance(result, Failed):
                self._failed(result, fetcher)
            elif isinstance(result, Proven | Elsewhere):
                self._arrived(result)
            self._placed(self._shelver.step(), fetcher)
            self._collect()
        # What is verified gets placed even when the run is being stopped: it is a matter of moments.
        while batch := self._shelver.step(wait=True):
            self._placed(batch, fetcher)

    def _is_placed(self, job: Job) -> bool:
        for work in self._shelver.wanting(job.digest):
            repo = work.resolved.ref.repo
            if self._tools.cache.layout.blob(repo, job.digest).exists():
                file = next(f for f in work.resolved.wanted.files if f.digest == job.digest)
                if self._tools.cache.find(repo, [file])[job.digest].have is Have.PLACED:
                    return True
        return False

    def _failed(self, result: Failed, fetcher: Fetcher) -> None:
        error = result.error
        if not self._tools.staging.is_ours(result.job.digest):
            # What failed is another node's part by now, and tells nothing of this disk or of a source.
            error = taken_over(repr(result.job.name))
        if isinstance(error, FATAL):
            raise error
        for work in self._shelver.wanting(result.job.digest):
            work.lost.add(result.job.digest)
            work.fail(error)
        if isinstance(error, NotAllowedError):
            wanted = {digest for work in self._works if work.is_open for digest in work.missing}
            fetcher.abandon({digest for work in self._works for digest in work.missing} - wanted)

    def _arrived(self, result: Proven | Elsewhere) -> None:
        for work in self._shelver.wanting(result.job.digest):
            if isinstance(result, Proven):
                work.sources[result.job.digest] = result.sources
            else:
                work.elsewhere.add(result.job.digest)
        self._emit(FileProgress(result.job.digest, result.job.name, Phase.PLACING, result.job.size, result.job.size))
        self._shelver.add(result)

    def _placed(self, batch: Batch | None, fetcher: Fetcher) -> None:
        if batch is None:
            return
        for failed, error in batch.errors.items():
            if isinstance(error, FATAL):
                raise error
            failed.fail(error)
        for job in batch.jobs:
            fetcher.release(job)
            self._emit(FileProgress(job.digest, job.name, Phase.DONE, job.size, job.size))
            for work in self._shelver.wanting(job.digest):
                if work not in batch.errors:
                    work.missing.discard(job.digest)
        self._publish_whole()

    def _publish_whole(self) -> None:
        busy = set(self._publishing.values())
        for work in self._works:
            if work.is_open and not work.missing and work not in busy:
                work.enter(Phase.PLACING)
                self._publishing[self._publishers.submit(self._publish, work)] = work

    def _publish(self, work: Work) -> None:
        model, cache = work.resolved, self._tools.cache
        work.seal(cache, self._tools.stop)
        try:
            remember(model, self._tools)
        except CannotCreateError:
            # Of a cache that may only be read, a volume for instance, nothing new can be remembered.
            if work.sources or work.elsewhere:
                raise
        flip = cache.publish(model)
        try:
            if work.item.local_dir:
                blobs = {file.digest: cache.layout.blob(model.ref.repo, file.digest) for file in model.wanted.files}
                place_local(
                    work.item.local_dir,
                    model,
                    blobs,
                    is_held=work.is_held(cache),
                    force=work.force,
                    known=work.local,
                    stop=self._tools.stop,
                )
        finally:
            # Also when the plain folder failed: the ref is written, and would not be told of a second time.
            if flip:
                self._emit(Flipped(str(model.ref), cache.snapshot(model), flip.old, flip.new))

    def _collect(self) -> None:
        for future in [future for future in self._publishing if future.done()]:
            work = self._publishing.pop(future)
            with work.guard():
                future.result()
                work.finish()
