"""`pull`: resolve -> plan -> fetch -> verify -> place -> report, for any number of models as one queue."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module

from orchestrator.cache.ref_names import RefNames
from orchestrator.cache.repo_locks import Use
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Action, Found, Have, Plan, merge, plan_model
from orchestrator.core.refs import as_word
from orchestrator.errors import GlmAriaError, Interrupted, NotFoundError
from orchestrator.events import Emit, Event, FileProgress, Notice, Phase
from orchestrator.lists.request import PullRequest
from orchestrator.pull.model_run import Work
from orchestrator.pull.report import ModelReport, PullReport
from orchestrator.pull.tools import Tools
from orchestrator.resolve.naming import refuse_what_disk_cannot_hold
from orchestrator.resolve.resolve import resolve
from orchestrator.system import threads
from orchestrator.system.threads import Pool

_RESOLVERS = 8


def pull(request: PullRequest, tools: Tools, emit: Emit) -> PullReport:
    """Fetch, verify and place all models of the request. What befalls a model is in the report, not raised."""
    notices: list[Notice] = []

    def tell(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event)
        emit(event)

    works = [Work(item, tell, wants_lock=request.make_lock, force=request.force) for item in request.items]
    try:
        with tools.cache.use() as use:
            _resolve_all(works, request, tools, _load_delivery)
            refs = RefNames(tools.cache.layout)
            for work in _open(works):
                with work.guard():
                    _survey(work, request, tools, use, refs)
            if _open(works):
                from orchestrator.pull.delivery import deliver  # loads aria2p, which a complete model does not need

                tools.stop.is_abrupt = False
                deliver(_open(works), tools, tell)
    except Interrupted:
        tools.stop.set()
    except GlmAriaError as error:
        _fail_all(works, error)
    if tools.stop.is_set():
        _fail_all(works, Interrupted(tools.stop.signal_number))
    return PullReport(
        tuple(work.report(tools.cache) for work in works),
        tuple(notices),
        tools.stop.signal_number if tools.stop.is_set() else None,
    )


def plan(request: PullRequest, tools: Tools, emit: Emit) -> tuple[Plan, tuple[ModelReport, ...]]:
    """What `pull` would do, and the models that cannot be pulled. Changes nothing."""
    works = [Work(item, emit, force=request.force) for item in request.items]
    _resolve_all(works, request, tools)
    refs = RefNames(tools.cache.layout)
    for work in _open(works):
        with work.guard():
            model = work.resolved
            refs.claim(model)
            work.look_at_folder(tools.cache, tools.stop)
            found = {} if request.force else tools.cache.find(model.ref.repo, model.wanted.files)
            work.plan = plan_model(model, found, work.item.priority)
    if tools.stop.is_set():
        raise Interrupted(tools.stop.signal_number)
    failed = tuple(work.report(tools.cache) for work in works if work.error)
    return merge(work.plan for work in _open(works) if work.plan), failed


def _open(works: Sequence[Work]) -> list[Work]:
    return [work for work in works if work.is_open]


def _fail_all(works: Sequence[Work], error: GlmAriaError) -> None:
    for work in _open(works):
        work.fail(error)


@cache
def _load_delivery() -> None:
    """Something will be fetched: load what that takes (aria2p above all) while the listing is on its way."""
    loading = threading.Thread(target=import_module, args=("orchestrator.pull.delivery",), daemon=True)
    with contextlib.suppress(GlmAriaError):  # it is loaded when it is needed, then
        threads.start(loading)


def _resolve_all(
    works: Sequence[Work], request: PullRequest, tools: Tools, on_unknown: Callable[[], None] = lambda: None
) -> None:
    def one(work: Work) -> None:
        if tools.stop.is_set():
            return
        with work.guard():
            work.model = resolve(work.item, request, tools, work.emit, on_unknown)

    if len(works) == 1:
        one(works[0])
    else:
        pool = Pool(_RESOLVERS, thread_name_prefix="resolve")
        try:
            list(pool.map(one, works))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if tools.stop.is_set():
        raise Interrupted(tools.stop.signal_number)


def _survey(work: Work, request: PullRequest, tools: Tools, use: Use, refs: RefNames) -> None:
    """Find out what is there. A model that is complete ends here, with nothing written.

    What would end it after all was fetched ends it here, too: a name that cannot be, a file of the user's in the way.
    """
    model = work.resolved
    repo, files = model.ref.repo, model.wanted.files
    # From here on nobody removes what this run counts on, in this repo or in those that it takes blobs from.
    use.hold([repo.folder])
    is_complete = not request.force and tools.cache.is_complete(model)
    if not is_complete:
        refs.claim(model)
    if not is_complete or work.item.local_dir is not None:
        refuse_what_disk_cannot_hold(model, tools.cache.layout, work.item.local_dir)
        work.look_at_folder(tools.cache, tools.stop)
    if request.force:
        tools.cache.proofs.forget(repo.folder, [file.digest for file in files])
        found: dict[Digest, Found] = {}
    elif is_complete and work.item.local_dir is None:
        work.plan = plan_model(model, {file.digest: Found(Have.PLACED) for file in files})
        work.seal(tools.cache, tools.stop)
        work.finish()
        return
    else:
        found = tools.cache.find(repo, files)
        while use.hold(item.path.parent.parent.name for item in found.values() if item.path is not None):
            found = tools.cache.find(repo, files)
        _prove(work, found, tools)
    work.plan = plan_model(model, found, work.item.priority)
    work.missing = {item.file.digest for item in work.plan.files if item.action is Action.FETCH}
    if request.offline and work.missing:
        raise NotFoundError(
            f"{len(work.missing)} file(s) of {model.ref} are not in the cache, and --offline fetches nothing",
            hint=f"once, with a network: glm-aria pull {as_word(model.ref)}",
        )
    if any(item.action in (Action.FETCH, Action.LINK) for item in work.plan.files):
        tools.cache.refuse_closed(model.ref)


def _prove(work: Work, found: dict[Digest, Found], tools: Tools) -> None:
    """Hash blobs that some other program put there: a name and a size prove nothing. Wrong ones are fetched again."""
    model = work.resolved
    unproven = {file.digest: file for file in model.wanted.files if found[file.digest].have is Have.UNPROVEN}
    if unproven:
        work.enter(Phase.CHECKING)
    for digest, file in unproven.items():
        done = 0

        def on_bytes(count: int, file: RepoFile = file) -> None:
            nonlocal done
            done += count
            work.emit(FileProgress(file.digest, file.path, Phase.CHECKING, done, file.size))

        is_right = tools.cache.prove(model.ref.repo, file, stop=tools.stop, on_bytes=on_bytes)
        work.emit(FileProgress(digest, file.path, Phase.DONE, file.size, file.size))
        if not is_right:
            found[digest] = Found(Have.NOTHING)
            message = f"{file.path!r} in the cache had wrong bytes (another program put it there); it is fetched again"
            work.emit(Notice("cache-was-wrong", message, file=file.path))
