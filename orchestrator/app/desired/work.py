"""Work of a follower on the cache, by the flows that there are: lock, pull, verify, collect."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from orchestrator.app.compose import mover_of, open_cache, sweep
from orchestrator.app.desired.company import Pull, pull_alone
from orchestrator.app.opening import opened
from orchestrator.cache.cache import Cache
from orchestrator.cache.census import read_repo
from orchestrator.cache.entries import Entry
from orchestrator.core.plan import Action, ResolvedModel, plan_model
from orchestrator.core.refs import Target
from orchestrator.core.speeds import Speed
from orchestrator.core.trust import Level, Trust
from orchestrator.desired.following.work import Errors, Lacking, Locked
from orchestrator.desired.wish.wanted import ModelSet, SetModel, SetRules, WantedModel
from orchestrator.errors import CannotCreateError, DiskIOError, GlmAriaError, Interrupted, NotFoundError, UnsafeError
from orchestrator.events import Emit
from orchestrator.lists.lockfile import LockedModel
from orchestrator.lists.request import Item, PullRequest
from orchestrator.pulling.locking import lock_ahead
from orchestrator.pulling.report import PullReport
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop

_LINKS = "links"
"""In the place of a digest: all bytes of a model are here, and its folder is not."""


@dataclass(frozen=True, slots=True)
class CacheWork:
    """Implements `SetWork` for the cache of the settings; `name` is that of the set, `pull` how bytes come."""

    settings: Settings
    rules: SetRules
    name: str
    pull: Pull = pull_alone

    def lock(self, models: Collection[WantedModel], stop: Stop, emit: Emit) -> Locked:
        found: dict[str, LockedModel] = {}
        errors: dict[str, GlmAriaError] = {}
        with opened(self.settings, stop, emit) as (cache, sources, sites, told):
            mover = mover_of(self.settings)
            for model in models:
                request = self._request((model.item,))
                try:
                    fresh = lock_ahead(request, sites, sources, cache, mover, stop=stop, emit=told)
                    found[model.key] = fresh.lock.models[0]
                except Interrupted:
                    raise
                except GlmAriaError as error:
                    errors[model.name] = error
                if stop.is_set():
                    raise Interrupted(stop.signal_number)
            sweep(cache.staging)
        return Locked(found, errors)

    def lacking(self, models: ModelSet, stop: Stop) -> Lacking:
        missing: dict[str, dict[str, int]] = {}
        with open_cache(self.settings, create=self.settings.cache_dir.exists()) as cache:
            for model in models.models:
                if stop.is_set():
                    raise Interrupted(stop.signal_number)
                resolved = _resolved(model, self.name)
                if cache.blobs.is_complete(resolved):
                    continue
                files = plan_model(resolved, cache.blobs.find(resolved.ref.repo, resolved.wanted.files)).files
                away = {str(one.file.digest): one.file.size for one in files if one.action is not Action.KEEP}
                missing[model.name] = away or {_LINKS: 0}
        return missing

    def fetch(self, models: ModelSet, names: Collection[str], speed: Speed, stop: Stop, emit: Emit) -> Errors:
        chosen = [model for model in models.models if model.name in names]
        items = tuple(_staged(model) for model in chosen)
        settings = self.settings
        if speed is not None and settings.max_speed is None:
            settings = replace(settings, max_speed=speed)
        return _errors(chosen, self.pull(settings, self._request(items, self._lock_name), stop, emit))

    def complete(self, models: ModelSet, stop: Stop, emit: Emit) -> Errors:
        """Make whole what is here of the models, without a question to anybody: links, listings, both digests."""
        return self._from_cache(models.models, tuple(map(_staged, models.models)), stop, emit)

    def publish(self, models: ModelSet, stop: Stop, emit: Emit) -> Errors:
        named = [model for model in models.models if model.locked.ref.branch is not None]
        if not named:
            return {}
        items = tuple(replace(_staged(model), ref=model.locked.ref) for model in named)
        return self._from_cache(named, items, stop, emit)

    def verify(self, models: ModelSet, stop: Stop, emit: Emit) -> int:
        from orchestrator.upkeep.verify import Health, VerifyRequest, verify

        targets = tuple(Target(model.locked.ref.repo, model.locked.commit) for model in models.models)
        with open_cache(self.settings, create=self.settings.cache_dir.exists()) as cache:

            def wrong(entry: Entry, found: os.stat_result) -> None:
                # Readers miss it from here on. It stays until the next pull has read it again: what a node without a
                # network throws away after one bad read of a good file, it may not get back for days.
                for repo in {name.repo for name in entry.names}:
                    if entry.digest is not None:
                        with contextlib.suppress(CannotCreateError, DiskIOError, UnsafeError):
                            cache.blobs.remove_blob(repo, entry.digest, found, keep=True)

            try:
                report = verify(VerifyRequest(targets), cache, None, stop=stop, emit=emit, wrong=wrong)
            except NotFoundError:  # it is lacking, which a look tells
                return 1
            if report.interrupted is not None or stop.is_set():
                raise Interrupted(stop.signal_number)
        return sum(one.state is not Health.OK for one in report.files)

    def hold(self, targets: Iterable[Target]) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
        with open_cache(self.settings, create=True) as cache:
            own = cache.pins.own()
            wanted = tuple(dict.fromkeys(targets))
            fresh = tuple(target for target in wanted if target not in own)
            cache.pins.add(fresh)
            return fresh, tuple(target for target in wanted if not _is_named(cache, target))

    def forget(self, pins: Iterable[Target], brought: Iterable[Target]) -> None:
        from orchestrator.upkeep.collect import collect
        from orchestrator.upkeep.garbage import Rules

        with open_cache(self.settings, create=True) as cache:
            cache.pins.remove(pins)
            for target in brought:
                # Gone already, or pinned by somebody else: then it is theirs.
                with contextlib.suppress(NotFoundError, UnsafeError):
                    collect(Rules(time.time(), targets=(target,)), cache, act=True)

    @property
    def _lock_name(self) -> str:
        return f"the lock of the set {self.name}"

    def _request(self, items: tuple[Item, ...], lock_name: str = "") -> PullRequest:
        settings, rules = self.settings, self.rules
        return PullRequest(
            items, safe_only=rules.safe_only, policy=settings.policy, lock_name=lock_name, portable=rules.portable
        )

    def _from_cache(self, models: Collection[SetModel], items: tuple[Item, ...], stop: Stop, emit: Emit) -> Errors:
        request = replace(self._request(items, self._lock_name), offline=True)
        return _errors(models, pull_alone(self.settings, request, stop, emit))


def _is_named(cache: Cache, target: Target) -> bool:
    """True when a ref of the cache stands for the revision: somebody pulled it by its name."""
    repo = read_repo(cache.layout, target.repo.folder)
    return repo is not None and target.revision is not None and bool(repo.refs_of(target.revision))


def _staged(model: SetModel) -> Item:
    """A model by its commit: its files come into the cache, and no ref moves."""
    locked = model.locked
    return Item(locked.fixed, locked.include, locked.exclude, priority=model.priority, locked=locked)


def _resolved(model: SetModel, name: str) -> ResolvedModel:
    locked, tree = model.locked, model.locked.tree()
    trust = Trust(Level.LOCK, name)
    return ResolvedModel(locked.fixed, tree, tree, trust, is_whole=locked.is_whole, pinned=locked.pinned)


def _errors(models: Collection[SetModel], report: PullReport) -> dict[str, GlmAriaError]:
    pairs: Iterator[tuple[SetModel, GlmAriaError | None]] = (
        (model, told.failure()) for model, told in zip(models, report.models, strict=True)
    )
    return {model.name: error for model, error in pairs if error is not None}
