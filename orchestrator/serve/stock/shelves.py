"""Shelves of the cache: where the blobs that clients wait for will be put, and what of a model is published when."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from orchestrator.cache.cache import Cache
from orchestrator.cache.claims import Use
from orchestrator.cache.inventory import read_ref
from orchestrator.cache.retention.on_demand import Revision
from orchestrator.core.dialects import DEFAULT
from orchestrator.core.files import Digest, RepoFile, RepoTree
from orchestrator.core.plan import Have, Job, ResolvedModel, merge, plan_model
from orchestrator.core.refs import Ref
from orchestrator.depot.elsewhere import Elsewhere
from orchestrator.disk import space
from orchestrator.disk.atomic import drop, scratch
from orchestrator.errors import GlmAriaError, NotFoundError
from orchestrator.events import Emit, Notice
from orchestrator.proof.verified import VerifiedFile, verify
from orchestrator.serve.http.recent import Recent
from orchestrator.system.failures import on_disk

_MOST_MODELS = 64
"""Models of which it is kept in memory what they lack."""

Key = tuple[Ref, str]
"""A ref and its commit."""


class Shelves:
    """Puts proven blobs into the snapshots of the models that want them. Thread-safe; one thread calls `place`.

    `elsewhere` asks other catalogs about each model, as sources of its files. With `on_demand`, revisions that were not
    in the cache are on the list of those that may go again.
    """

    def __init__(
        self, cache: Cache, elsewhere: Elsewhere, emit: Emit, *, on_demand: bool = False, offline: bool = False
    ) -> None:
        self._cache = cache
        self._on_demand = on_demand
        self._offline = offline
        self._elsewhere = elsewhere
        self._emit = emit
        self._guard = threading.Lock()
        self._wanted: dict[Digest, dict[Key, ResolvedModel]] = {}
        self._lacking: Recent[Key, set[Digest]] = Recent(_MOST_MODELS)
        self._reading: Counter[Revision] = Counter()
        self._guessed: set[Revision] = set()

    def refuse(self, model: ResolvedModel, file: RepoFile) -> None:
        """Raise why a file cannot be put there: a closed repo, as `HfCache.refuse_closed` does, its size, or that no
        server is asked (NotFoundError)."""
        if self._offline:
            raise NotFoundError(f"{file.path!r} is not in the cache, and no server is asked (--offline)")
        self._cache.blobs.refuse_closed(model.ref)
        space.check_largest(file.size, self._cache.layout.cache_dir)

    def missing(self, model: ResolvedModel, files: Sequence[RepoFile]) -> list[RepoFile]:
        """Those of these files that are nowhere in the cache, one of each blob."""
        found = self._cache.blobs.find(model.ref.repo, files)
        by_digest = {file.digest: file for file in files}
        return [file for digest, file in by_digest.items() if found[digest].have is Have.NOTHING]

    @contextmanager
    def reading(self, model: ResolvedModel) -> Iterator[None]:
        """Somebody reads files of a model, or waits for them."""
        key = model.ref.repo.folder, model.commit
        with self._guard:
            self._reading[key] += 1
        try:
            yield
        finally:
            with self._guard:
                self._reading[key] -= 1
                if not self._reading[key]:
                    del self._reading[key]

    @contextmanager
    def guessing(self, model: ResolvedModel) -> Iterator[None]:
        """A model comes that nobody asked for: it is on the list of those that may go as one that was not used."""
        key = model.ref.repo.folder, model.commit
        self._guessed.add(key)
        try:
            yield
        finally:
            self._guessed.discard(key)

    def in_use(self) -> frozenset[Revision]:
        """The revisions of which somebody reads files, or waits for some."""
        with self._guard:
            wanted = {(ref.repo.folder, commit) for models in self._wanted.values() for ref, commit in models}
            return frozenset(wanted.union(self._reading))

    def gone(self, folder: str, commit: str) -> None:
        """A revision was removed from the cache: it lacks everything."""
        with self._guard:
            for key, _ in self._lacking.items():
                if (key[0].repo.folder, key[1]) == (folder, commit):
                    self._lacking.drop(key)

    def want(self, model: ResolvedModel, file: RepoFile) -> Job:
        """The job of a file, which `place` will put into the model's snapshot. Does not block."""
        key = model.ref, model.commit
        self._elsewhere.ask(model)
        with self._guard:
            models = self._wanted.setdefault(file.digest, {})
            before = models.get(key)
            files = {file.path: file} | {known.path: known for known in (before.wanted.files if before else ())}
            models[key] = _of(model, files.values())
        (job,) = merge([plan_model(_of(model, (file,)), {})]).jobs
        return job

    def hold(self, model: ResolvedModel, file: RepoFile) -> AbstractContextManager[Path | None]:
        """Hold the lock at which other programs wait for a file, as `HfCache.hold` does."""
        return self._cache.blobs.hold(model.ref.repo, file.digest)

    def link(self, model: ResolvedModel, file: RepoFile, path: Path) -> None:
        """Take a file from another repo of the cache, where it is proven and lies at `path`."""
        self._cache.blobs.link(model.ref.repo, model.commit, [(file, path)])

    def give_up(self, digest: Digest) -> None:
        """Forget who wanted a blob: nobody waits for it any more."""
        with self._guard:
            self._wanted.pop(digest, None)

    def is_placed(self, job: Job) -> bool:
        """True when a wanted blob lies somewhere in the cache, proven: `place` can link it to where it is wanted."""
        with self._guard:
            models = tuple(self._wanted.get(job.digest, {}).values())
        found = (self._cache.blobs.find(model.ref.repo, model.wanted.files) for model in models)
        return any(one[job.digest].have in (Have.PLACED, Have.ELSEWHERE) for one in found)

    def place(self, verified: Sequence[VerifiedFile], placed: Sequence[Digest] = ()) -> Mapping[Digest, GlmAriaError]:
        """Put proven files where they were asked for, link those that were `placed` before, and publish what is there
        of each model.

        Returns the reasons of those that could not be placed.
        """
        staged = {file.digest: file for file in verified}
        by_key: dict[Key, list[tuple[Digest, ResolvedModel]]] = {}
        with self._guard:
            for digest in (*staged, *placed):
                for key, model in self._wanted.pop(digest, {}).items():
                    by_key.setdefault(key, []).append((digest, model))
        failed: dict[Digest, GlmAriaError] = {}
        with Use(self._cache.state_dir) as use:
            use.hold(ref.repo.folder for ref, _ in by_key)
            for wishes in by_key.values():
                self._list(wishes[0][1])
                try:
                    self._put(wishes, staged)
                except GlmAriaError:
                    for wish in wishes:  # one of them was the reason
                        try:
                            self._put([wish], staged)
                        except GlmAriaError as error:
                            failed[wish[0]] = error
            for wishes in by_key.values():
                there = [model for digest, model in wishes if digest not in failed]
                files = {file.path: file for model in there for file in model.wanted.files}
                self._publish(wishes[0][1], tuple(files.values()))
        return failed

    def _list(self, model: ResolvedModel) -> None:
        if self._on_demand and not self._cache.blobs.snapshot(model).exists():
            is_guess = (model.ref.repo.folder, model.commit) in self._guessed
            self._cache.blobs.on_demand.came(model.ref.repo, model.commit, is_guess=is_guess)

    def _put(self, wishes: Sequence[tuple[Digest, ResolvedModel]], staged: dict[Digest, VerifiedFile]) -> None:
        """Place files in one model. The first model that wants a blob gets the staged file, the others a link to it."""
        first = wishes[0][1]
        files = [file for _, model in wishes for file in model.wanted.files]
        self._cache.blobs.settle(first.ref.repo, first.commit, files, staged)

    def _publish(self, model: ResolvedModel, files: tuple[RepoFile, ...]) -> None:
        """Write the listing, so that readers of the cache know what is missing; the ref as soon as that does no harm.

        A branch that is in the cache moves to another commit only when all of that is here: who reads the cache keeps
        the old one until then. That it cannot be written fails nobody who waits for the file.
        """
        blobs, repo, key = self._cache.blobs, model.ref.repo, (model.ref, model.commit)
        try:
            lacking = self._lacking.get(key)
            is_new = lacking is None
            if lacking is None:
                lacking = self._begin(model)
            lacking.difference_update(file.digest for file in files)
            is_whole = not lacking
            if is_whole:
                self._lacking.drop(key)
                blobs.expose(repo, model.commit, model.tree.files)
            if not is_whole and not is_new:
                return
            for revision in self._names(model):
                ref = replace(model.ref, revision=revision)
                known = read_ref(blobs.layout, repo, revision)
                if ref.is_commit or known is None or known == model.commit or is_whole:
                    blobs.publish(replace(_of(model, model.tree.files if is_whole else files), ref=ref))
        except GlmAriaError as error:
            self._emit(Notice("not-published", f"{model.ref}: {error.message}"))

    def _names(self, model: ResolvedModel) -> set[str]:
        """The revisions under which readers of the cache may look for a commit. Its refs are the Hub's: what another
        catalog calls `main` is perhaps somebody else's, and lies there as a commit without a name."""
        if model.ref.catalog is not DEFAULT:
            return {model.commit}
        return {model.ref.revision, *self._cache.records.revisions(model.ref.repo, model.commit)}

    def _begin(self, model: ResolvedModel) -> set[Digest]:
        """The blobs that a model lacks. Empty files are made: clients that know their size do not ask for them."""
        blobs, repo = self._cache.blobs, model.ref.repo
        found = blobs.find(repo, model.tree.files)
        lacking = {digest for digest, here in found.items() if here.have is not Have.PLACED}
        for file in model.tree.files:
            if not file.size and found[file.digest].have is Have.NOTHING:
                temporary = scratch(self._cache.staging.folder)
                try:
                    with on_disk("write", temporary):
                        temporary.touch(mode=0o600)
                    blobs.place(repo, model.commit, [(verify(temporary, file.digest, 0), file)])
                    lacking.discard(file.digest)
                finally:
                    drop(temporary)
        self._lacking.keep((model.ref, model.commit), lacking)
        return lacking


def _of(model: ResolvedModel, files: Iterable[RepoFile]) -> ResolvedModel:
    """The model with these files wanted."""
    return replace(model, wanted=RepoTree(model.commit, tuple(files)))
