"""`pull`: resolve -> plan -> fetch -> verify -> place -> report, for any number of models as one queue."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import TypeAlias

from orchestrator.cache.cache import Cache, HfCache
from orchestrator.cache.claims import Use
from orchestrator.cache.publishing import RefNames
from orchestrator.cache.records import Records
from orchestrator.catalogs.sites import Sites
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Action, Found, Have, Plan, ResolvedModel, merge, plan_model
from orchestrator.core.refs import as_word
from orchestrator.depot.mover import Mover
from orchestrator.errors import GlmAriaError, IncompleteError, Interrupted
from orchestrator.events import Emit, FileProgress, Notice, Phase
from orchestrator.lists.request import PullRequest
from orchestrator.mirrors.sources import Sources
from orchestrator.pulling.model_run import ModelRun
from orchestrator.pulling.report import ModelReport, PullReport
from orchestrator.resolve.naming import refuse_what_disk_cannot_hold
from orchestrator.resolve.question import Question
from orchestrator.resolve.resolve import ask, remember
from orchestrator.system import threads
from orchestrator.system.signals import Stop
from orchestrator.system.threads import Step, at_once

Planned: TypeAlias = tuple[Plan, tuple[ModelReport, ...]]
_RESOLVERS = 8
_OF_A_TRANSFER = (
    "orchestrator.pulling.delivery",
    "orchestrator.transfer.feeder",
    "orchestrator.aria2.daemon",
    "jinja2",
    "orchestrator.pulling.document",
)


def pull(
    request: PullRequest, sites: Sites, sources: Sources, cache: Cache, mover: Mover, *, stop: Stop, emit: Emit
) -> PullReport:
    """Fetch, verify and place all models of the request. Errors of a model are in the report, not raised."""
    runs = [ModelRun(item, emit, wants_lock=request.make_lock, force=request.force) for item in request.items]
    try:
        with cache.blobs.use() as use:
            _resolve_all(runs, request, sites, cache.records, stop=stop, preload=True)
            refs = RefNames(cache.layout)
            for run in _open(runs):
                with run.guard():
                    _survey(run, request, cache.blobs, use, refs, stop=stop)
                    if run.is_done and not request.offline:
                        # The ref may be another name of what was pulled before, which is then known offline, too.
                        remember(run.resolved, cache.records, sites)
            if _open(runs):
                from orchestrator.pulling.delivery import deliver  # loads aria2p, which a complete model does not need

                stop.is_abrupt = False
                deliver(_open(runs), sites, sources, cache, mover, stop=stop, emit=emit)
    except Interrupted:
        stop.set()
    except GlmAriaError as error:
        _fail_all(runs, error)
    if stop.is_set():
        _fail_all(runs, Interrupted(stop.signal_number))
    return PullReport(tuple(run.report(cache.blobs) for run in runs), stop.signal_number if stop.is_set() else None)


def plan(request: PullRequest, sites: Sites, cache: Cache, *, stop: Stop, emit: Emit) -> Planned:
    """The plan of a `pull`, and the models that cannot be pulled. Changes nothing."""
    runs = [ModelRun(item, emit, force=request.force) for item in request.items]
    _resolve_all(runs, request, sites, cache.records, stop=stop)
    refs = RefNames(cache.layout)
    for run in _open(runs):
        with run.guard():
            model = run.resolved
            refs.claim(model)
            run.look_at_folder(cache.blobs, stop)
            found = {} if request.force else cache.blobs.find(model.ref.repo, model.wanted.files)
            run.plan = plan_model(model, found, run.item.priority)
    if stop.is_set():
        raise Interrupted(stop.signal_number)
    failed = tuple(run.report(cache.blobs) for run in runs if run.error)
    return merge(run.plan for run in _open(runs) if run.plan), failed


def _open(runs: Sequence[ModelRun]) -> list[ModelRun]:
    return [run for run in runs if run.is_open]


def _fail_all(runs: Sequence[ModelRun], error: GlmAriaError) -> None:
    for run in _open(runs):
        run.fail(error)


@functools.cache
def _preload() -> None:
    """Load the code of a transfer while a site is being asked: a tenth of a second, aria2p above all."""

    def load() -> None:
        for name in _OF_A_TRANSFER:
            import_module(name)

    with contextlib.suppress(GlmAriaError):  # it is loaded when it is needed, then
        threads.start(threading.Thread(target=load, daemon=True))


def _resolve_all(
    runs: Sequence[ModelRun], request: PullRequest, sites: Sites, records: Records, *, stop: Stop, preload: bool = False
) -> None:
    def one(run: ModelRun) -> None:
        if stop.is_set():
            return
        with run.guard():
            ref = run.item.ref
            if preload and not request.offline and records.last_seen(ref.repo, ref.revision) is None:
                _preload()  # what was never here is about to be fetched
            asked = ask(Question(run.item, request, sites, records, run.emit))
            if isinstance(asked, ResolvedModel):
                run.model = asked
            else:
                if preload:
                    _preload()
                run.model = asked()

    if len(runs) == 1:
        one(runs[0])
    else:
        steps = [Step(str(run.item.ref), functools.partial(one, run)) for run in runs]
        at_once(steps, most=_RESOLVERS, name="resolve")
        for step in steps:
            step.result()
    if stop.is_set():
        raise Interrupted(stop.signal_number)


def _survey(run: ModelRun, request: PullRequest, blobs: HfCache, use: Use, refs: RefNames, *, stop: Stop) -> None:
    """Find out what is there. A model that is complete ends here, with nothing written.

    What would end it after all was fetched ends it here, too: a name that cannot be, a file of the user's in the way.
    """
    model = run.resolved
    repo, files = model.ref.repo, model.wanted.files
    # From here on nobody removes what this run counts on, in this repo or in those that it takes blobs from.
    use.hold([repo.folder])
    blobs.on_demand.drop(repo.folder, model.commit)
    is_complete = not request.force and blobs.is_complete(model)
    if not is_complete:
        refs.claim(model)
    if not is_complete or run.item.local_dir is not None:
        refuse_what_disk_cannot_hold(model, blobs.layout, run.item.local_dir)
        run.look_at_folder(blobs, stop)
    if request.force:
        blobs.proofs.forget(repo.folder, [file.digest for file in files])
        found: dict[Digest, Found] = {}
    elif is_complete and run.item.local_dir is None:
        run.take(plan_model(model, {file.digest: Found(Have.PLACED) for file in files}))
        run.check_lock(blobs, stop)
        run.finish()
        return
    else:
        found = blobs.find(repo, files)
        while use.hold(item.path.parent.parent.name for item in found.values() if item.path is not None):
            found = blobs.find(repo, files)
        _prove(run, found, blobs, stop)
    plan = plan_model(model, found, run.item.priority)
    run.take(plan)
    if request.offline and run.missing:
        raise IncompleteError(
            f"{len(run.missing)} file(s) of {model.ref} are not in the cache, and --offline fetches nothing",
            hint=f"run it once with a network: glm-aria pull {as_word(model.ref)}",
        )
    if any(item.action in (Action.FETCH, Action.LINK) for item in plan.files):
        blobs.refuse_closed(model.ref)


def _prove(run: ModelRun, found: dict[Digest, Found], blobs: HfCache, stop: Stop) -> None:
    """Hash blobs that some other program put there: a name and a size prove nothing. Wrong ones are fetched again."""
    model = run.resolved
    unproven = {file.digest: file for file in model.wanted.files if found[file.digest].have is Have.UNPROVEN}
    if unproven:
        run.enter(Phase.CHECKING)
    for digest, file in unproven.items():
        done = 0

        def on_bytes(count: int, file: RepoFile = file) -> None:
            nonlocal done
            done += count
            run.emit(FileProgress(file.digest, file.path, Phase.CHECKING, done, file.size))

        is_right = blobs.prove(model.ref.repo, file, stop=stop, on_bytes=on_bytes)
        run.emit(FileProgress(digest, file.path, Phase.DONE, file.size, file.size))
        if not is_right:
            found[digest] = Found(Have.NOTHING)
            message = f"{file.path!r} in the cache had wrong bytes (another program put it there); it is fetched again"
            run.emit(Notice("cache-was-wrong", message, file=file.path))
