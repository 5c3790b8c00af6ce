"""The lock of models before their large files are here, so that many nodes need ask the root but once.

A lock file has the sha256 of each file, and listings tell that of large files only. So the small ones are fetched
first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.cache.cache import Cache
from orchestrator.catalogs.sites import Sites
from orchestrator.core.files import literal
from orchestrator.core.plan import ResolvedModel
from orchestrator.depot.mover import Mover
from orchestrator.errors import Interrupted
from orchestrator.events import Emit
from orchestrator.lists.lockfile import Lock, LockedModel
from orchestrator.lists.request import Item, PullRequest
from orchestrator.mirrors.sources import Sources
from orchestrator.pulling.pull import pull
from orchestrator.resolve.locked import lock
from orchestrator.resolve.question import Question
from orchestrator.resolve.resolve import resolve
from orchestrator.system.signals import Stop


@dataclass(frozen=True, slots=True)
class FreshLock:
    """A lock that was made now; `is_closed` when one of its repos needs a token, or nobody says that it is open."""

    lock: Lock
    is_closed: bool


def lock_ahead(
    request: PullRequest, sites: Sites, sources: Sources, cache: Cache, mover: Mover, *, stop: Stop, emit: Emit
) -> FreshLock:
    """Resolve the models of a request, fetch their small files, and make the lock of all their files. What is locked
    already is only confirmed.

    Raises the error of the first model that has one, Interrupted.
    """
    asked = replace(request, for_others=True)
    models = [(item, resolve(Question(item, asked, sites, cache.records, emit))) for item in request.items]
    is_closed = any(model.is_restricted for _, model in models)
    if request.lock_name:
        return FreshLock(Lock().with_models(item.locked for item in request.items if item.locked), is_closed)
    small = [found for item, model in models if (found := _small(item, model)) is not None]
    if small:
        report = pull(replace(request, items=tuple(small)), sites, sources, cache, mover, stop=stop, emit=emit)
        if report.interrupted is not None:
            raise Interrupted(report.interrupted)
        for error in (model.error for model in report.models):
            if error is not None:
                raise error
    locked = (lock(model, item, cache.blobs, stop) for item, model in models)
    return FreshLock(Lock().with_models(locked), is_closed)


def locked_items(request: PullRequest, fresh: Lock) -> tuple[Item, ...]:
    """The items of a request as the lock has them, also those that name a commit which the lock calls by a branch."""
    known: dict[tuple[str, ...] | str, LockedModel] = {}
    for model in fresh.models:
        for ref in (str(model.ref), str(model.fixed)):
            known.setdefault((ref, *model.include, "", *model.exclude), model)
            known.setdefault(ref, model)
    found = ((item, (str(item.ref), *item.include, "", *item.exclude)) for item in request.items)
    return tuple(replace(item, locked=known.get(words) or known[words[0]]) for item, words in found)


def _small(item: Item, model: ResolvedModel) -> Item | None:
    """The files of a model of which the listing has another digest than sha256."""
    paths = [file.path for file in model.wanted.files if not file.is_lfs]
    fixed = replace(model.ref, revision=model.commit)
    return Item(fixed, include=tuple(map(literal, paths)), priority=item.priority) if paths else None
