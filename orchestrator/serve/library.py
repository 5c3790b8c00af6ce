"""Answers for a face: the commit of a ref, and where the bytes of a file are or will be. Calls block; thread-safe."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from orchestrator.cache.cache import Cache
from orchestrator.cache.claims import Use
from orchestrator.cache.inventory import read_ref
from orchestrator.catalogs.refusals import refusal
from orchestrator.catalogs.sites import Sites
from orchestrator.core.files import Digest, RepoFile, RepoTree
from orchestrator.core.plan import Have, Job, ResolvedModel, merge, plan_model
from orchestrator.core.refs import Ref
from orchestrator.core.trust import Policy
from orchestrator.disk.atomic import drop, scratch
from orchestrator.errors import (
    CannotCreateError,
    GlmAriaError,
    NotFoundError,
    SourcesDownError,
    TemporaryError,
    TrustError,
)
from orchestrator.events import Emit, Event, Notice
from orchestrator.lists.request import Item, PullRequest
from orchestrator.mirrors.sources import Sources
from orchestrator.net.failures import blaming
from orchestrator.proof.verified import VerifiedFile, verify
from orchestrator.resolve.question import Question
from orchestrator.resolve.resolve import remember, resolve
from orchestrator.system.failures import on_disk

FRESH = 60.0
"""Seconds for which the meaning of a branch is not asked for again."""
_MOST_FILES = 300_000
"""Files of all listings that are kept in memory."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """A ref's commit and listing. `is_stale`: the root could not be asked, and this is what it said before."""

    model: ResolvedModel
    is_stale: bool = False


class Library:
    """The repos that can be served: those of the cache, and through the root all others.

    The root is asked about a branch once in `FRESH` seconds, about a commit once; its refusals are not remembered.
    """

    def __init__(
        self,
        sites: Sites,
        sources: Sources,
        cache: Cache,
        *,
        policy: Policy,
        offline: bool,
        emit: Emit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sites = sites
        self._sources = sources
        self._cache = cache
        self._request = PullRequest((), offline=offline, policy=policy)
        self._emit = emit
        self._clock = clock
        self._guard = threading.Lock()
        self._looking = threading.Lock()
        self._shelf: OrderedDict[Ref, tuple[float, Shelved]] = OrderedDict()
        self._wanted: dict[Digest, dict[tuple[Ref, str], ResolvedModel]] = {}

    # -- what a ref stands for

    def resolve(self, ref: Ref) -> Shelved:
        """The ref's commit and listing. Raises what `resolve.resolve` does."""
        if (known := self._fresh(ref)) is not None:
            return known
        if ref.is_commit or self._request.offline:
            try:
                return self._keep(ref, Shelved(self._ask(ref, offline=True), is_stale=not ref.is_commit))
            except (NotFoundError, TrustError):
                if self._request.offline:
                    raise
        try:
            model = self._ask(ref, offline=False)
        except (SourcesDownError, TemporaryError, TrustError) as error:
            if (last := self.last_known(ref)) is None:
                raise
            self._emit(Notice("stale", f"{ref} is served as it was last seen: {error.message}"))
            return self._keep(ref, last)
        with suppress(CannotCreateError):
            remember(model, self._cache.records, self._sites.of(ref).source)
        return self._keep(ref, Shelved(model))

    def last_known(self, ref: Ref) -> Shelved | None:
        """The commit that a ref stood for when somebody was last asked. Asks no server."""
        with suppress(GlmAriaError):
            return Shelved(self._ask(ref, offline=True), is_stale=True)
        return None

    def has_main(self, ref: Ref) -> bool:
        """True when the ref's repo is there, whatever the revision."""
        with suppress(GlmAriaError):
            return bool(self.resolve(replace(ref, revision=ref.catalog.main)))
        return False

    def passed(self, ref: Ref, parts: Sequence[str], query: Sequence[tuple[str, str]]) -> Any:
        """The root's answer below the repo's address. Raises what catalogs raise, and NotFoundError offline."""
        if self._request.offline:
            raise NotFoundError(f"only the root knows the {parts[0]} of {ref.repo.url_path}, and it is not asked")
        source = self._sites.of(ref).source
        url = "/".join((source.api_url(ref.repo), *(quote(part, safe="") for part in parts)))
        url += f"?{urlencode(query)}" if query else ""
        with blaming(source.name):
            answer = self._sources.patient.get_json(url)
        if answer.status != 200:
            raise refusal(answer, source, ref.repo, ref.revision, had_token=False)
        return answer.value

    def _fresh(self, ref: Ref) -> Shelved | None:
        with self._guard:
            asked, known = self._shelf.get(ref, (0.0, None))
            if known is not None and (ref.is_commit or self._clock() - asked < FRESH):
                self._shelf.move_to_end(ref)
                return known
        return None

    def _keep(self, ref: Ref, known: Shelved) -> Shelved:
        with self._guard:
            self._shelf.pop(ref, None)
            self._shelf[ref] = (self._clock(), known)
            count = sum(len(shelved.model.tree.files) for _, shelved in self._shelf.values())
            while count > _MOST_FILES and len(self._shelf) > 1:
                _, (_, oldest) = self._shelf.popitem(last=False)
                count -= len(oldest.model.tree.files)
        return known

    def _ask(self, ref: Ref, *, offline: bool) -> ResolvedModel:
        request = replace(self._request, offline=offline)
        return resolve(Question(Item(ref), request, self._sites, self._cache.records, self._warn))

    def _warn(self, event: Event) -> None:
        """Pass warnings on; that a ref is being resolved is no news in a server."""
        if isinstance(event, Notice):
            self._emit(event)

    # -- where its bytes are

    def find(self, model: ResolvedModel, file: RepoFile) -> tuple[Have, Path | None]:
        """The state of the file's blob in the cache, as `HfCache.find` tells it. Asks no server."""
        with self._looking:
            found = self._cache.blobs.find(model.ref.repo, [file])[file.digest]
        return found.have, found.path

    def prove(self, model: ResolvedModel, file: RepoFile) -> bool:
        """Read a blob that some other program put there; a wrong one is removed. Takes as long as that takes."""
        return self._cache.blobs.prove(model.ref.repo, file)

    def refuse_closed(self, model: ResolvedModel) -> None:
        """Raise why the repo cannot get new blobs from us, as `HfCache.refuse_closed` does."""
        self._cache.blobs.refuse_closed(model.ref)

    def job(self, model: ResolvedModel, file: RepoFile) -> Job:
        """The job of a file, which `place` will put into the model's snapshot. Does not block."""
        wanted = replace(model, wanted=RepoTree(model.commit, (file,)))
        (job,) = merge([plan_model(wanted, {})]).jobs
        with self._guard:
            models = self._wanted.setdefault(file.digest, {})
            before = models.get((model.ref, model.commit))
            files = {file.path: file} | {known.path: known for known in (before.wanted.files if before else ())}
            models[model.ref, model.commit] = replace(model, wanted=RepoTree(model.commit, tuple(files.values())))
        return job

    def give_up(self, digest: Digest) -> None:
        """Forget who wanted a blob: nobody waits for it any more."""
        with self._guard:
            self._wanted.pop(digest, None)

    def is_placed(self, job: Job) -> bool:
        """True when somebody else has put a wanted blob where it belongs."""
        with self._guard:
            models = tuple(self._wanted.get(job.digest, {}).values())
        return any(self.find(model, model.wanted.files[0])[0] is Have.PLACED for model in models)

    # -- how they get there

    def place(self, verified: Sequence[VerifiedFile]) -> Mapping[Digest, GlmAriaError]:
        """Put proven files where they were asked for, and publish what is there of each model.

        Returns the reasons of those that could not be placed.
        """
        failed: dict[Digest, GlmAriaError] = {}
        touched: dict[tuple[Ref, str], list[ResolvedModel]] = {}
        with Use(self._cache.state_dir) as use:
            for file in verified:
                with self._guard:
                    models = self._wanted.pop(file.digest, {})
                use.hold(model.ref.repo.folder for model in models.values())
                try:
                    self._place(file, tuple(models.values()))
                except GlmAriaError as error:
                    failed[file.digest] = error
                    continue
                for key, model in models.items():
                    touched.setdefault(key, []).append(model)
            for models_of_ref in touched.values():
                files = {file.path: file for model in models_of_ref for file in model.wanted.files}
                self._publish(models_of_ref[0], tuple(files.values()))
        return failed

    def _place(self, verified: VerifiedFile, models: Sequence[ResolvedModel]) -> None:
        """The first model that wants it gets the file itself, the others a link to it."""
        blobs = self._cache.blobs
        is_placed = False
        for model in models:
            repo, commit, files = model.ref.repo, model.commit, model.wanted.files
            if not is_placed:
                blobs.place(repo, commit, [(verified, file) for file in files])
                is_placed = True
                continue
            found = blobs.find(repo, files)[verified.digest]
            if found.have is Have.PLACED:
                blobs.expose(repo, commit, files)
            elif found.have is Have.ELSEWHERE and found.path:
                path = found.path
                blobs.link(repo, commit, [(file, path) for file in files])

    def _place_empty(self, model: ResolvedModel) -> None:
        """Put the empty files there, too: clients that know their size do not ask for them."""
        blobs, repo = self._cache.blobs, model.ref.repo
        files = [file for file in model.tree.files if not file.size]
        found = blobs.find(repo, files)
        for file in files:
            if found[file.digest].have is Have.NOTHING:
                temporary = scratch(self._cache.staging.folder)
                try:
                    with on_disk("write", temporary):
                        temporary.touch(mode=0o600)
                    blobs.place(repo, model.commit, [(verify(temporary, file.digest, 0), file)])
                finally:
                    drop(temporary)

    def _publish(self, model: ResolvedModel, files: tuple[RepoFile, ...]) -> None:
        """Write the listing, so that readers of the cache know what is missing; the ref as soon as that does no harm.

        A branch that is in the cache moves to another commit only when all of that is here: who reads the cache keeps
        the old one until then. That it cannot be written fails nobody who waits for the file.
        """
        blobs, repo = self._cache.blobs, model.ref.repo
        try:
            self._place_empty(model)
            whole = replace(model, wanted=model.tree)
            found = blobs.find(repo, model.tree.files)
            is_whole = all(here.have is Have.PLACED for here in found.values())
            if is_whole:
                blobs.expose(repo, model.commit, model.tree.files)
            for revision in {model.ref.revision, *self._cache.records.revisions(repo, model.commit)}:
                ref = Ref(repo, revision, model.ref.catalog)
                known = read_ref(blobs.layout, repo, revision)
                if ref.is_commit or known is None or known == model.commit or is_whole:
                    wanted = whole.wanted if is_whole else RepoTree(model.commit, files)
                    blobs.publish(replace(model, ref=ref, wanted=wanted))
        except GlmAriaError as error:
            self._emit(Notice("not-published", f"{model.ref}: {error.message}"))
